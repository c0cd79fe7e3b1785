/*
 * The one place where a process of ours gives up root.
 * Runs as: root, then the user.   Input: what the monitor read from the kernel about the client.
 */
#include "daemon/target/identity.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/error.h"

#define IDENTITY_SECUREBITS                                                                                            \
        (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |                   \
         SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

static int identity_drop_capabilities(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return err_raise(-errno);
        if (syscall(SYS_capset, &header, data) < 0)
                return err_raise(-errno);
        return 0;
}

int identity_assume(const struct identity *id) {
        uid_t ruid, euid, suid;
        gid_t rgid, egid, sgid;
        int r;

        for (unsigned long cap = 0; cap < 64; cap++)
                if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
                        if (errno == EINVAL)
                                break; /* past the kernel's last capability */
                        return err_raise(-errno);
                }
        if (prctl(PR_SET_SECUREBITS, IDENTITY_SECUREBITS, 0, 0, 0) < 0)
                return err_raise(-errno);
        if (setgroups(id->n_groups, id->groups) < 0)
                return err_raise(-errno);
        if (setresgid(id->gid, id->gid, id->gid) < 0 || setresuid(id->uid, id->uid, id->uid) < 0)
                return err_raise(-errno);
        r = identity_drop_capabilities();
        if (r)
                return err_pass(r);
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return err_raise(-errno);
        if (getresuid(&ruid, &euid, &suid) < 0 || getresgid(&rgid, &egid, &sgid) < 0)
                return err_raise(-errno);
        if (ruid != id->uid || euid != id->uid || suid != id->uid || rgid != id->gid || egid != id->gid || sgid != id->gid)
                return err_raise(-EPERM);
        if (id->uid != 0 && setuid(0) == 0)
                return err_raise(-EPERM);
        return 0;
}

int identity_limit(const struct identity *id) {
        for (int i = 0; i < RLIM_NLIMITS; i++) {
                struct rlimit want = id->limits[i], have;

                if (setrlimit(i, &want) == 0)
                        continue;
                if (getrlimit(i, &have) < 0)
                        return err_raise(-errno);
                /* RLIM_INFINITY is the largest rlim_t, so plain comparison is right */
                if (want.rlim_max > have.rlim_max)
                        want.rlim_max = have.rlim_max;
                if (want.rlim_cur > want.rlim_max)
                        want.rlim_cur = want.rlim_max;
                if (setrlimit(i, &want) < 0)
                        return err_raise(-errno);
        }
        return 0;
}

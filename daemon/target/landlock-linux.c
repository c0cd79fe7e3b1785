/*
 * Runs as: the user, in the session's first program, before the filter.   Input: none.
 */
#include "daemon/target/landlock-linux.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"

/* linux/landlock.h of Debian 12 ends before ABI 6; landlock(7). */
#define LANDLOCK_CREATE_RULESET_VERSION_FLAG 1U
struct landlock_ruleset_v6 {
        uint64_t handled_access_fs, handled_access_net, scoped;
};
enum { ACCESS_NET_CONNECT_TCP = 2 };
enum { SCOPE_ABSTRACT_UNIX_SOCKET = 1, SCOPE_SIGNAL = 2 };

int landlock_scope(void) {
        struct landlock_ruleset_v6 attr = { .handled_access_net = ACCESS_NET_CONNECT_TCP,
                                            .scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL };
        size_t size = sizeof(attr);
        _cleanup_close_ int fd = -1;
        long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION_FLAG);

        if (abi < 4)
                return 0;
        if (abi < 6)
                size = offsetof(struct landlock_ruleset_v6, scoped);
        fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
        if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
                return err_raise(-errno);
        return 0;
}

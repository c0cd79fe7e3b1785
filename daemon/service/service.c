/*
 * Start and end of the service. Everything that has to be read from the file system is read before the sandbox closes.
 *
 * Runs as: user nono.   Input: see service.h.
 */
#include "daemon/service/service.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "common/loop.h"
#include "daemon/policy/policy.h"
#include "daemon/policy/show.h"
#include "daemon/service/channel.h"
#include "daemon/service/client.h"
#include "daemon/service/core.h"
#include "daemon/service/decide.h"
#include "daemon/service/load.h"
#include "daemon/service/monitor-link.h"
#include "daemon/service/pending.h"
#include "daemon/service/run.h"
#include "daemon/service/sandbox-linux.h"
#include "daemon/service/serve.h"
#include "daemon/service/state-file.h"

static int service_start(struct service *s, const struct service_options *o, int *fd_monitor, bool confine) {
        int r;

        s->store = policy_store_new();
        s->pending = pending_new();
        if (!s->store || !s->pending)
                return err_raise(-ENOMEM);
        r = load_policy(s->store, o->policy_dirs, o->ceiling_dir);
        if (r)
                return err_pass(r);
        load_os_release(s);
        state_file_clean(s);
        show_start();
        r = loop_new(&s->loop);
        if (r)
                return err_pass(r);
        r = monitor_link_open(s, *fd_monitor);
        if (r)
                return err_pass(r);
        (void)steal_fd(fd_monitor);
        if (confine) {
                r = sandbox_apply(s->fd_state);
                if (r) {
                        log_error("the service cannot confine itself: %s", strerror(-r));
                        return err_pass(r);
                }
        }
        return 0;
}

static void service_stop(struct service *s) {
        while (s->clients)
                client_close(s->clients);
        while (s->runs)
                run_free(s->runs);
        s->monitor = channel_free(s->monitor);
        s->pending = pending_free(s->pending);
        s->store = policy_store_free(s->store);
        s->loop = loop_free(s->loop);
        free(s->distro);
        free(s->distro_like);
        free(s->os_version);
        fd_close(&s->fd_state);
}

int serve(const struct service_options *options, bool confine, const struct decide_limits *limits) {
        struct service s = { .fd_state = options->fd_state, .limits = limits ? limits : &decide_default_limits };
        _cleanup_close_ int fd_monitor = options->fd_monitor;
        struct rlimit limit;
        int r;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
                limit.rlim_cur =
                        limit.rlim_max; /* two descriptors per waiting request, four per session, one per client */
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }
        (void)signal(SIGPIPE, SIG_IGN);
        r = service_start(&s, options, &fd_monitor, confine);
        if (r == 0)
                r = loop_run(s.loop);
        service_stop(&s);
        return r ? 1 : 0;
}

int service_run(const struct service_options *options) {
        return serve(options, true, NULL);
}

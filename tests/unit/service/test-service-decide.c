/*
 * Prompts: merging, deadlines, limits, what is remembered, how wide an answer may be.
 */
#include "tests/unit/service/service-test.h"

#include <stdio.h>

#include "daemon/policy/policy.h"
#include "daemon/service/decide.h"

#define SECOND UINT64_C(1000000)
enum { READ = POLICY_READ, WRITE = POLICY_WRITE };

static uint64_t last_id;

static struct decide *make(void) {
        struct decide *d = NULL;

        last_id = 0;
        assert_int_equal(decide_new(&decide_default_limits, &d), 0);
        return d;
}

static int ask(struct decide *d, const char *path, unsigned access, uint64_t now, struct waiting *w,
               struct prompt **ret, Nono__Reason *reason, bool *first) {
        const struct decide_question q = { .path = path,
                                           .access = access,
                                           .chain = "a\x1f"
                                                    "b",
                                           .pid = 7 };

        return decide_ask(d, &q, ++last_id, now, now, w, ret, reason, first);
}

static void test_the_same_question_is_one_prompt(void **state) {
        struct decide *d = make();
        struct waiting a = { 0 }, b = { 0 }, c = { 0 };
        struct prompt *p = NULL, *q = NULL, *other = NULL;
        Nono__Reason reason;
        bool first;

        assert_int_equal(ask(d, "/x", READ, 0, &a, &p, &reason, &first), DECIDE_WAIT);
        assert_int_equal(ask(d, "/x", READ, 5, &b, &q, &reason, &first), DECIDE_MERGED);
        assert_ptr_equal(p, q);
        assert_int_equal(p->count, 2);
        assert_int_equal(p->id, 1);
        assert_int_equal(ask(d, "/x", READ | WRITE, 5, &c, &other, &reason, &first), DECIDE_WAIT);
        assert_ptr_not_equal(p, other);
        assert_int_equal(decide_count(d), 2);
        decide_leave(&a);
        assert_ptr_equal(p->waiting, &b);
        decide_leave(&b);
        assert_null(p->waiting);
        decide_drop(d, p);
        assert_int_equal(decide_count(d), 1);
        decide_free(d);
        assert_null(c.prompt);
}

static void test_nobody_there_denies_after_ten_seconds_and_then_at_once(void **state) {
        struct decide *d = make();
        struct waiting a = { 0 }, b = { 0 };
        struct prompt *p = NULL;
        Nono__Reason reason;
        bool first;

        assert_int_equal(ask(d, "/x", READ, 0, &a, &p, &reason, &first), DECIDE_WAIT);
        assert_int_equal(decide_deadline(d), 10 * SECOND);
        assert_null(decide_overdue(d, 10 * SECOND - 1, &reason));
        assert_ptr_equal(decide_overdue(d, 10 * SECOND, &reason), p);
        assert_int_equal(reason, NONO__REASON__REASON_NOBODY);
        decide_drop(d, p);
        assert_int_equal(decide_deadline(d), UINT64_MAX);
        assert_int_equal(ask(d, "/y", READ, 11 * SECOND, &b, &p, &reason, &first), DECIDE_DENY);
        assert_int_equal(reason, NONO__REASON__REASON_NOBODY);
        /* until somebody comes */
        decide_set_attended(d, true, 12 * SECOND);
        assert_int_equal(ask(d, "/y", READ, 12 * SECOND, &b, &p, &reason, &first), DECIDE_WAIT);
        decide_free(d);
}

static void test_somebody_there_has_ten_minutes(void **state) {
        struct decide *d = make();
        struct waiting a = { 0 };
        struct prompt *p = NULL;
        Nono__Reason reason;
        bool first;

        decide_set_attended(d, true, 0);
        assert_int_equal(ask(d, "/x", READ, 0, &a, &p, &reason, &first), DECIDE_WAIT);
        assert_null(decide_overdue(d, 599 * SECOND, &reason));
        assert_ptr_equal(decide_overdue(d, 600 * SECOND, &reason), p);
        assert_int_equal(reason, NONO__REASON__REASON_TIMEOUT);
        decide_free(d);
}

static void test_deadlines_follow_who_is_there(void **state) {
        struct decide *d = make();
        struct waiting a = { 0 };
        struct prompt *p = NULL;
        Nono__Reason reason;
        bool first;

        assert_int_equal(ask(d, "/x", READ, 0, &a, &p, &reason, &first), DECIDE_WAIT);
        decide_set_attended(d, true, 9 * SECOND);
        assert_int_equal(decide_deadline(d), 600 * SECOND);
        decide_set_attended(d, false, 100 * SECOND);
        assert_int_equal(decide_deadline(d), 110 * SECOND);
        /* coming and going never buys time beyond the ten minutes */
        decide_set_attended(d, true, 109 * SECOND);
        decide_set_attended(d, false, 598 * SECOND);
        assert_int_equal(decide_deadline(d), 600 * SECOND);
        decide_free(d);
}

static void test_sealed_asks_nobody(void **state) {
        struct decide *d = make();
        struct waiting a = { 0 };
        struct prompt *p = NULL;
        Nono__Reason reason;
        bool first;

        decide_set_attended(d, true, 0);
        decide_set_sealed(d, true);
        assert_int_equal(ask(d, "/x", READ, 0, &a, &p, &reason, &first), DECIDE_DENY);
        assert_int_equal(reason, NONO__REASON__REASON_SEALED);
        assert_null(a.prompt);
        decide_free(d);
}

static void test_a_no_is_remembered_for_a_minute(void **state) {
        struct decide *d = make();
        struct waiting a = { 0 };
        struct prompt *p = NULL;
        Nono__Reason reason;
        bool first;

        decide_set_attended(d, true, 0);
        decide_remember(d, "/x", READ, 0);
        assert_int_equal(ask(d, "/x", READ, 59 * SECOND, &a, &p, &reason, &first), DECIDE_DENY);
        assert_int_equal(reason, NONO__REASON__REASON_REMEMBERED);
        assert_int_equal(ask(d, "/x", READ | WRITE, 59 * SECOND, &a, &p, &reason, &first), DECIDE_WAIT);
        decide_leave(&a);
        assert_int_equal(ask(d, "/x", READ, 60 * SECOND, &a, &p, &reason, &first), DECIDE_WAIT);
        decide_free(d);
}

static void test_a_yes_forgets_old_noes_below_it(void **state) {
        struct decide *d = make();
        struct waiting a = { 0 }, b = { 0 };
        struct prompt *p = NULL;
        Nono__Reason reason;
        bool first;

        decide_set_attended(d, true, 0);
        decide_remember(d, "/x/y", READ, 0);
        decide_remember(d, "/xz", READ, 0);
        decide_forget(d, "/x");
        assert_int_equal(ask(d, "/x/y", READ, 1, &a, &p, &reason, &first), DECIDE_WAIT);
        assert_int_equal(ask(d, "/xz", READ, 1, &b, &p, &reason, &first), DECIDE_DENY);
        decide_free(d);
}

static void test_a_flood_is_cut_at_sixty_four_prompts_and_said_once(void **state) {
        struct waiting w[70] = { { 0 } };
        struct decide *d = make();
        struct prompt *p = NULL;
        Nono__Reason reason;
        int denied = 0, said = 0;
        bool first;

        decide_set_attended(d, true, 0);
        for (int i = 0; i < 70; i++) {
                char path[16];

                snprintf(path, sizeof(path), "/p%d", i);
                if (ask(d, path, READ, 0, &w[i], &p, &reason, &first) == DECIDE_DENY) {
                        assert_int_equal(reason, NONO__REASON__REASON_LIMIT);
                        denied++;
                        said += first;
                }
        }
        assert_int_equal(decide_count(d), 64);
        assert_int_equal(denied, 6);
        assert_int_equal(said, 1);
        /* what waits already may be asked by more processes */
        assert_int_equal(ask(d, "/p0", READ, 0, &w[69], &p, &reason, &first), DECIDE_MERGED);
        decide_free(d);
}

static void test_prompts_are_found_by_id_only_while_they_wait(void **state) {
        struct decide *d = make();
        struct waiting a = { 0 };
        struct prompt *p = NULL;
        Nono__Reason reason;
        bool first;

        assert_int_equal(ask(d, "/x", READ, 0, &a, &p, &reason, &first), DECIDE_WAIT);
        assert_ptr_equal(decide_find(d, p->id), p);
        assert_null(decide_find(d, p->id + 1));
        decide_drop(d, p);
        assert_null(decide_find(d, 1));
        assert_null(a.prompt);
        decide_free(d);
}

static void scope(const char *path, bool directory, Nono__Scope s, const char *want, bool want_file) {
        char ret[POLICY_PATH_MAX];
        bool file;

        if (!want) {
                assert_int_equal(decide_scope(path, directory, s, ret, &file), DECIDE_SCOPE_E_WIDE);
                return;
        }
        assert_int_equal(decide_scope(path, directory, s, ret, &file), DECIDE_SCOPE_OK);
        assert_string_equal(ret, want);
        assert_int_equal(file, want_file);
}

static void test_scopes_become_rules(void **state) {
        scope("/a/b/c", false, NONO__SCOPE__SCOPE_FILE, "/a/b/c", true);
        scope("/a/b/c", true, NONO__SCOPE__SCOPE_FILE, "/a/b/c", false);
        scope("/a/b/c", false, NONO__SCOPE__SCOPE_FOLDER, "/a/b", false);
        scope("/a/b/c", true, NONO__SCOPE__SCOPE_FOLDER, "/a/b/c", false);
        scope("/a/b/c", false, NONO__SCOPE__SCOPE_PARENT, "/a", false);
        scope("/a/b/c", true, NONO__SCOPE__SCOPE_PARENT, "/a/b", false);
        scope("/home/u/x", false, NONO__SCOPE__SCOPE_FOLDER, "/home/u", false);
}

static void test_scopes_that_are_too_wide_are_refused(void **state) {
        scope("/a", false, NONO__SCOPE__SCOPE_FOLDER, NULL, false);
        scope("/a/b", false, NONO__SCOPE__SCOPE_PARENT, NULL, false);
        scope("/a", false, NONO__SCOPE__SCOPE_PARENT, NULL, false);
        scope("/home/u/x", false, NONO__SCOPE__SCOPE_PARENT, NULL, false);
        scope("/home/u", true, NONO__SCOPE__SCOPE_PARENT, NULL, false);
        scope("/", true, NONO__SCOPE__SCOPE_FILE, NULL, false);
        scope("/run/nonod/nonod.sock", false, NONO__SCOPE__SCOPE_FILE, NULL, false);
        scope("/var/lib/nonod", true, NONO__SCOPE__SCOPE_FILE, NULL, false);
        scope("/proc/1/mem", false, NONO__SCOPE__SCOPE_FILE, NULL, false);
        scope("/dev/kvm", false, NONO__SCOPE__SCOPE_FILE, NULL, false);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_same_question_is_one_prompt),
                cmocka_unit_test(test_nobody_there_denies_after_ten_seconds_and_then_at_once),
                cmocka_unit_test(test_somebody_there_has_ten_minutes),
                cmocka_unit_test(test_deadlines_follow_who_is_there),
                cmocka_unit_test(test_sealed_asks_nobody),
                cmocka_unit_test(test_a_no_is_remembered_for_a_minute),
                cmocka_unit_test(test_a_yes_forgets_old_noes_below_it),
                cmocka_unit_test(test_a_flood_is_cut_at_sixty_four_prompts_and_said_once),
                cmocka_unit_test(test_prompts_are_found_by_id_only_while_they_wait),
                cmocka_unit_test(test_scopes_become_rules),
                cmocka_unit_test(test_scopes_that_are_too_wide_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Rulings: what the rules say about a walk or a change, without any effect.
 */
#include "tests/unit/service/service-test.h"

#include "daemon/policy/policy.h"
#include "daemon/service/judge.h"

static struct policy_plan *plan;

static void rule(enum policy_effect effect, unsigned access, bool file, const char *path) {
        const struct policy_rule r = { .effect = effect,
                                       .origin = effect == POLICY_DENY ? POLICY_FROM_REQUIRED_GROUP : POLICY_FROM_FLAG,
                                       .access = access,
                                       .file = file,
                                       .path = (char *)path,
                                       .source = (char *)"test" };

        assert_int_equal(policy_plan_add(plan, &r, NULL), 0);
}

static int setup(void **state) {
        plan = policy_plan_new();
        rule(POLICY_ALLOW, POLICY_READ | POLICY_WRITE, false, "/h/proj");
        rule(POLICY_ALLOW, POLICY_READ, false, "/h/docs");
        rule(POLICY_ALLOW, POLICY_READ, true, "/h/a/b/file");
        rule(POLICY_DENY, POLICY_READ | POLICY_WRITE, false, "/h/.ssh");
        rule(POLICY_DENY, POLICY_READ | POLICY_WRITE, false, "/h/docs/secret");
        return 0;
}

static int teardown(void **state) {
        policy_plan_free(plan);
        return 0;
}

static struct ruling walk(const char *path, const char *full, enum object_kind kind, const char *canonical,
                          const char *target) {
        const struct request q = { .type = REQUEST_WALK,
                                   .kind = kind,
                                   .path = (char *)path,
                                   .full = (char *)full,
                                   .canonical = (char *)canonical,
                                   .target = (char *)target,
                                   .second = (char *)"" };
        struct ruling r;

        judge_walk(plan, &q, true, &r);
        return r;
}

static struct ruling change(enum request_type type, enum operation operation, enum object_kind kind, const char *path,
                            const char *second) {
        const struct request q = {
                .type = type, .operation = operation, .kind = kind, .path = (char *)path, .second = (char *)second
        };
        struct ruling r;

        judge_change(plan, &q, &r);
        return r;
}

static void test_granted_objects_are_attached_with_their_access(void **state) {
        struct ruling r = walk("/h/proj", "", OBJECT_DIR, "/h/proj", "");

        assert_int_equal(r.what, RULING_ATTACH);
        assert_true(r.write);
        assert_false(r.deny_below);
        r = walk("/h/docs", "", OBJECT_DIR, "/h/docs", "");
        assert_int_equal(r.what, RULING_ATTACH);
        assert_false(r.write);
        assert_true(r.deny_below);
}

static void test_what_the_host_refuses_is_never_asked_for(void **state) {
        struct request q = { .type = REQUEST_WALK,
                             .kind = OBJECT_DIR,
                             .unreachable = true,
                             .path = (char *)"/root",
                             .full = (char *)"/root/bin/tool",
                             .canonical = (char *)"/root",
                             .target = (char *)"",
                             .second = (char *)"" };
        struct ruling r;

        judge_walk(plan, &q, true, &r);
        assert_int_equal(r.what, RULING_HOST);
        /* a rule's answer stays what it is */
        q.path = q.canonical = (char *)"/h/docs";
        q.full = (char *)"/h/docs/x";
        judge_walk(plan, &q, true, &r);
        assert_int_equal(r.what, RULING_ATTACH);
        q.path = q.canonical = (char *)"/h/.ssh";
        q.full = (char *)"/h/.ssh/x";
        judge_walk(plan, &q, true, &r);
        assert_int_equal(r.what, RULING_REFUSE);
}

static void test_the_way_to_something_granted_is_a_level(void **state) {
        assert_int_equal(walk("/h/a", "", OBJECT_DIR, "/h/a", "").what, RULING_LEVEL);
        assert_int_equal(walk("/h/a", "", OBJECT_FILE, "/h/a", "").what, RULING_ASK);
        assert_int_equal(walk("/h/a/b/file", "", OBJECT_FILE, "/h/a/b/file", "").what, RULING_ATTACH);
        /* one object only: a directory under that name shows nothing of its contents */
        assert_int_equal(walk("/h/a/b/file", "", OBJECT_DIR, "/h/a/b/file", "").what, RULING_LEVEL);
}

static void test_the_object_counts_where_the_host_changed_under_the_name(void **state) {
        assert_int_equal(walk("/h/proj", "", OBJECT_DIR, "/h/.ssh", "").what, RULING_REFUSE);
        assert_int_equal(walk("/h/proj", "", OBJECT_DIR, "/h/elsewhere", "").what, RULING_ASK);
        assert_false(walk("/h/proj", "", OBJECT_DIR, "/h/docs", "").write);
}

static void test_what_is_shown_is_the_whole_path_when_it_is_known(void **state) {
        struct ruling r = walk("/h/x", "/h/x/y/z", OBJECT_DIR, "/h/x", "");

        assert_int_equal(r.what, RULING_ASK);
        assert_string_equal(r.path, "/h/x/y/z");
        /* a full path that is not below the name says nothing */
        r = walk("/h/x", "/h/proj/z", OBJECT_DIR, "/h/x", "");
        assert_int_equal(r.what, RULING_ASK);
        assert_string_equal(r.path, "/h/x");
        assert_true(r.directory);
}

static void test_links_are_judged_by_what_they_lead_to(void **state) {
        assert_int_equal(walk("/h/l", "", OBJECT_SYMLINK, "/h/proj/x", "proj/x").what, RULING_LINK);
        assert_int_equal(walk("/h/l", "", OBJECT_SYMLINK, "/h/.ssh/id", ".ssh/id").what, RULING_REFUSE);
        assert_int_equal(walk("/h/l", "", OBJECT_SYMLINK, "", "../h/./.ssh/id").what, RULING_REFUSE);
        assert_int_equal(walk("/h/l", "", OBJECT_SYMLINK, "/tmp/x", "/tmp/x").what, RULING_LINK);
        assert_int_equal(walk("/h/.ssh", "", OBJECT_SYMLINK, "/h/proj", "proj").what, RULING_REFUSE);
        assert_string_equal(walk("/h/l", "/h/l/y", OBJECT_SYMLINK, "/opt", "/opt").path, "/opt/y");
}

static void test_changes_need_writing_at_every_name(void **state) {
        struct ruling r;

        assert_int_equal(change(REQUEST_CHANGE, OPERATION_CREATE, OBJECT_MISSING, "/h/proj/x", "").what, RULING_ALLOW);
        r = change(REQUEST_CHANGE, OPERATION_RENAME, OBJECT_FILE, "/h/proj/x", "/h/y");
        assert_int_equal(r.what, RULING_ASK);
        assert_string_equal(r.path, "/h/y");
        assert_string_equal(r.second, "");
        r = change(REQUEST_CHANGE, OPERATION_RENAME, OBJECT_FILE, "/h/x", "/h/y");
        assert_string_equal(r.path, "/h/x");
        assert_string_equal(r.second, "/h/y");
        assert_int_equal(change(REQUEST_CHANGE, OPERATION_LINK, OBJECT_FILE, "/h/proj/x", "/h/.ssh/id").what,
                         RULING_REFUSE);
        assert_int_equal(change(REQUEST_CHANGE, OPERATION_MKDIR, OBJECT_MISSING, "/h/.ssh", "").what, RULING_REFUSE);
}

static void test_widening_names_the_place_that_has_to_become_writable(void **state) {
        struct ruling r = change(REQUEST_WIDEN, OPERATION_WRITE, OBJECT_FILE, "/h/docs/a", "");

        assert_int_equal(r.what, RULING_ASK);
        assert_string_equal(r.path, "/h/docs/a");
        assert_false(r.directory);
        r = change(REQUEST_WIDEN, OPERATION_CREATE, OBJECT_MISSING, "/h/docs/sub/new", "");
        assert_string_equal(r.path, "/h/docs/sub");
        assert_true(r.directory);
        r = change(REQUEST_WIDEN, OPERATION_RENAME, OBJECT_FILE, "/h/docs/a", "/h/docs/b");
        assert_string_equal(r.path, "/h/docs");
        assert_string_equal(r.second, "");
        assert_int_equal(change(REQUEST_WIDEN, OPERATION_DELETE, OBJECT_FILE, "/h/docs/secret", "").what,
                         RULING_REFUSE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_granted_objects_are_attached_with_their_access),
                cmocka_unit_test(test_the_way_to_something_granted_is_a_level),
                cmocka_unit_test(test_what_the_host_refuses_is_never_asked_for),
                cmocka_unit_test(test_the_object_counts_where_the_host_changed_under_the_name),
                cmocka_unit_test(test_what_is_shown_is_the_whole_path_when_it_is_known),
                cmocka_unit_test(test_links_are_judged_by_what_they_lead_to),
                cmocka_unit_test(test_changes_need_writing_at_every_name),
                cmocka_unit_test(test_widening_names_the_place_that_has_to_become_writable),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}

/*
 * The pure parts of the client: what a prompt looks like, what a key means, what a program's output says about the screen,
 * which session a word means, and what may reach a terminal or JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "client/event.h"
#include "client/exec-spec.h"
#include "client/out.h"
#include "client/prompt.h"
#include "client/say.h"
#include "client/screen.h"
#include "client/sessions.h"
#include "client/userpath.h"
#include "client/words.h"
#include "daemon/target/control.h"

/* --- keys --- */

static enum prompt_answer key(const char *s) {
        return prompt_key((const unsigned char *)s, strlen(s));
}

static void test_only_the_offered_letters_allow(void **state) {
        for (int c = 0; c < 256; c++) {
                unsigned char byte = (unsigned char)c;
                enum prompt_answer want = c == 'y' || c == 'Y'   ? PROMPT_ONCE
                                          : c == 's' || c == 'S' ? PROMPT_SESSION
                                          : c == 'f' || c == 'F' ? PROMPT_FOLDER
                                          : c && strchr("nN\r\n\x03\x04\x1b", c) ? PROMPT_DENY
                                                                                 : PROMPT_NOTHING;

                assert_int_equal(prompt_key(&byte, 1), want);
        }
}

static void test_more_than_one_key_at_once_is_no_answer(void **state) {
        static const char *const all[] = { "yy", "y\r", "\r\r", "yes", "\033[A", "\033OA", "\033[M !!", "\033[<0;1;1M", "\033[I",
                                           "\033[200~y\033[201~", "\033y", "\033[?1;2c", "\033[121", "\033[121;1", "" };

        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                assert_int_equal(key(all[i]), PROMPT_NOTHING);
        assert_int_equal(prompt_key((const unsigned char *)"\033[121u\0", 8), PROMPT_NOTHING);
}

static void test_keyboards_that_report_in_full_are_understood(void **state) {
        assert_int_equal(key("\033[121u"), PROMPT_ONCE);
        assert_int_equal(key("\033[121;1u"), PROMPT_ONCE);
        assert_int_equal(key("\033[121;129u"), PROMPT_ONCE); /* num lock */
        assert_int_equal(key("\033[121;1:1u"), PROMPT_ONCE);
        assert_int_equal(key("\033[121;1:3u"), PROMPT_NOTHING); /* released */
        assert_int_equal(key("\033[121;5u"), PROMPT_NOTHING);   /* ^Y */
        assert_int_equal(key("\033[121;3u"), PROMPT_NOTHING);   /* Alt-y */
        assert_int_equal(key("\033[99;5u"), PROMPT_DENY);
        assert_int_equal(key("\033[27u"), PROMPT_DENY);
        assert_int_equal(key("\033[13u"), PROMPT_DENY);
}

/* --- layout --- */

static Nono__Event event_for(const char *path) {
        static ProtobufCBinaryData programs[] = { { 6, (uint8_t *)"claude" }, { 4, (uint8_t *)"bash" }, { 3, (uint8_t *)"cat" } };
        Nono__Event e = NONO__EVENT__INIT;

        e.request = 7;
        e.session = wire_bytes("ab12");
        e.profile = wire_bytes("claude-code");
        e.path = wire_bytes(path);
        e.access = NONO__ACCESS__ACCESS_READ;
        e.operation = NONO__OPERATION__OP_READ;
        e.programs = programs;
        e.n_programs = 3;
        e.count = 3;
        return e;
}

static char *block_text(const struct prompt_block *b, unsigned columns) {
        char *text = mem_copy("");

        for (size_t i = 0; i < b->n_lines; i++) {
                char *more = mem_format("%s%s\n", text, b->lines[i]);

                if (columns)
                        assert_true(out_width(b->lines[i]) < columns);
                for (const char *p = b->lines[i]; *p; p++)
                        assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
                free(text);
                text = more;
        }
        return text;
}

static void has(const char *text, const char *want) {
        if (!strstr(text, want))
                fail_msg("'%s' is not in:\n%s", want, text);
}

static void test_a_prompt_says_who_what_where_and_why(void **state) {
        Nono__Event e = event_for("/home/u/.config/gh/hosts.yml");
        struct prompt_block b;
        char *text;

        prompt_layout(&e, 2, 80, 24, true, &b);
        text = block_text(&b, 80);
        has(text, "┌─ nonod, session ab12, 1 of 3 ");
        has(text, "│ claude › bash › cat\n");
        has(text, "│ wants to read\n");
        has(text, "│   /home/u/.config/gh/hosts.yml\n");
        has(text, "│ not granted by profile claude-code; asked 3 times\n");
        has(text, "│ [y] once  [s] session  [f] folder for this session  [n] deny (Enter)\n");
        assert_true(b.can_allow);
        free(text);
        prompt_block_done(&b);

        prompt_layout(&e, 0, 80, 24, false, &b);
        text = block_text(&b, 80);
        has(text, "| claude > bash > cat\n");
        for (const char *p = text; *p; p++)
                assert_true((unsigned char)*p < 0x80);
        free(text);
        prompt_block_done(&b);
}

static void test_hostile_names_stay_inside_the_frame(void **state) {
        Nono__Event e = event_for("/tmp/\033[2J\r\n[y] once\xe2\x80\xae\xff  \x9b");
        ProtobufCBinaryData bad = wire_bytes("\033]0;x\007\n");
        struct prompt_block b;
        char *text;

        e.programs = &bad;
        e.n_programs = 1;
        e.profile = wire_bytes("\n\n");
        e.session = wire_bytes("\033c");
        prompt_layout(&e, 0, 80, 24, true, &b);
        text = block_text(&b, 80);
        has(text, "/tmp/\\e[2J\\r\\n[y] once\\u{202e}\\xff");
        has(text, "\\e]0;x\\x07\\n");
        for (size_t i = 1; i + 1 < b.n_lines; i++)
                assert_memory_equal(b.lines[i], "│ ", 4);
        free(text);
        prompt_block_done(&b);
}

static void test_a_long_path_is_whole_or_marked_and_its_last_name_whole(void **state) {
        char path[4000] = "/start";
        struct prompt_block b;
        Nono__Event e;
        char *text;

        while (strlen(path) < 1500)
                strcat(path, "/component");
        strcat(path, "/the-last-name-of-all");
        e = event_for(path);

        prompt_layout(&e, 0, 80, 60, true, &b); /* fits */
        assert_true(b.can_allow);
        text = block_text(&b, 80);
        assert_null(strstr(text, "left out"));
        free(text);
        prompt_block_done(&b);

        prompt_layout(&e, 0, 80, 18, true, &b); /* does not */
        assert_true(b.can_allow);
        assert_true(b.n_lines < 18);
        text = block_text(&b, 80);
        has(text, "/start/component");
        has(text, "characters left out ...]");
        has(text, "the-last-name-of-all\n");
        free(text);
        prompt_block_done(&b);

        memset(path + 6, 'x', 3000); /* one endless last name */
        path[6] = '/';
        path[3006] = '\0';
        prompt_layout(&e, 0, 80, 24, true, &b);
        assert_false(b.can_allow);
        text = block_text(&b, 80);
        has(text, "too long to show");
        assert_null(strstr(text, "[y]"));
        has(text, "[n] deny");
        free(text);
        prompt_block_done(&b);
}

static void test_what_cannot_all_be_seen_cannot_be_allowed(void **state) {
        ProtobufCBinaryData programs[60];
        Nono__Event e = event_for("/home/u/x");
        struct prompt_block b;
        char *text;

        for (size_t i = 0; i < ELEMENTSOF(programs); i++)
                programs[i] = wire_bytes("a-program-with-a-name-that-fills-the-screen-and-pushes-the-rest-away");
        e.programs = programs;
        e.n_programs = ELEMENTSOF(programs);
        prompt_layout(&e, 0, 80, 24, true, &b);
        assert_false(b.can_allow);
        text = block_text(&b, 80);
        assert_null(strstr(text, "[y]"));
        free(text);
        prompt_block_done(&b);
        prompt_layout(&e, 0, 80, 100, true, &b);
        assert_true(b.can_allow);
        assert_true(b.n_lines < 100);
        prompt_block_done(&b);
}

static void test_every_terminal_size_gets_a_block(void **state) {
        Nono__Event e = event_for("/home/u/日本語/ファイル/very-long-name-with-many-letters-and-more.txt");

        for (unsigned columns = 0; columns < 120; columns += 3)
                for (unsigned rows = 0; rows < 40; rows += 3) {
                        struct prompt_block b;
                        char *text;

                        prompt_layout(&e, 5, columns, rows, columns % 2, &b);
                        text = block_text(&b, columns > 25 ? columns : 0);
                        has(text, "deny");
                        assert_int_equal(b.can_allow, strstr(text, "[y]") != NULL);
                        assert_true(!b.can_allow || b.n_lines < (rows ? rows : 24));
                        free(text);
                        prompt_block_done(&b);
                }
}

static void test_answers_carry_what_was_shown(void **state) {
        Nono__Event e = event_for("/a");
        Nono__Approve approve;
        Nono__Request q;
        Nono__Deny deny;

        prompt_request(&e, PROMPT_ONCE, &q, &approve, &deny);
        assert_int_equal(q.body_case, NONO__REQUEST__BODY_APPROVE);
        assert_int_equal(approve.duration, NONO__DURATION__DURATION_ONCE);
        assert_false(approve.write);
        e.access = NONO__ACCESS__ACCESS_READ_WRITE;
        prompt_request(&e, PROMPT_FOLDER, &q, &approve, &deny);
        assert_int_equal(approve.scope, NONO__SCOPE__SCOPE_FOLDER);
        assert_int_equal(approve.duration, NONO__DURATION__DURATION_SESSION);
        assert_true(approve.write);
        prompt_request(&e, PROMPT_DENY, &q, &approve, &deny);
        assert_int_equal(q.body_case, NONO__REQUEST__BODY_DENY);
        assert_int_equal(deny.request, 7);
}

/* --- screen --- */

static struct screen fed(const char *s) {
        struct screen one = { 0 }, by_byte = { 0 };

        screen_feed(&one, s, strlen(s));
        for (; *s; s++)
                screen_feed(&by_byte, s, 1);
        assert_int_equal(screen_is_at_rest(&one), screen_is_at_rest(&by_byte));
        assert_int_equal(one.modes, by_byte.modes);
        return one;
}

static void test_rest_is_between_sequences(void **state) {
        static const char *const rest[] = { "",  "text",  "\033[31m",  "\033[?1049h", "\033(B", "\033]0;t\007", "\033]0;t\033\\",
                                            "é", "\033P1$r\033\\", "\033[12\x18", "\033]8;;\x1a", "\x80\xff", "\033c", "€" };
        static const char *const half[] = { "\033", "\033[", "\033[3", "\033[?10", "\033]0;t", "\033P", "\033(", "\xc3", "\xe2\x82",
                                            "\033]0;t\033", "\033_x", "\033P\007" };

        for (size_t i = 0; i < ELEMENTSOF(rest); i++) {
                struct screen s = fed(rest[i]);

                assert_true(screen_is_at_rest(&s));
        }
        for (size_t i = 0; i < ELEMENTSOF(half); i++) {
                struct screen s = fed(half[i]);

                assert_false(screen_is_at_rest(&s));
        }
}

static void test_the_alternate_screen_is_noticed(void **state) {
        static const char *const on[] = { "\033[?1049h", "\033[?47h", "\033[?1047h", "\033[?25;1049h", "x\033[?1049hy",
                                          "\xc2\x9b?1049h", "\033]0;\033[?1049\007h" /* ESC ends a string */ };
        static const char *const off[] = { "\033[1049h", "\033[?1049l", "\033[?1049h\033[?1049l", "\033[?1049h\033c", "?1049h",
                                           "\033]0;?1049h", "\033[>?1049h" };

        for (size_t i = 0; i < ELEMENTSOF(on); i++) {
                struct screen s = fed(on[i]);

                assert_true(screen_is_alternate(&s));
        }
        for (size_t i = 0; i < ELEMENTSOF(off); i++) {
                struct screen s = fed(off[i]);

                assert_false(screen_is_alternate(&s));
        }
}

static void test_what_is_set_is_undone(void **state) {
        char undo[512];
        struct screen s = fed("plain \033[1mbold\033[0m");

        screen_undo(&s, undo, sizeof(undo));
        assert_string_equal(undo, "");
        s = fed("\033[?1049h\033[?1000;1006h\033[?2004h\033[?25l\033[>1u\033[>4;2m\033=\033[5 q");
        screen_undo(&s, undo, sizeof(undo));
        has(undo, "\033[?1049l");
        has(undo, "\033[?1000l");
        has(undo, "\033[?1006l");
        has(undo, "\033[?2004l");
        has(undo, "\033[?25h");
        has(undo, "\033[<u");
        has(undo, "\033[>4m");
        has(undo, "\033>");
        has(undo, "\033[0 q");
        s = fed("\033[?2004h\033[?2004l\033]0;unfinished");
        screen_undo(&s, undo, sizeof(undo));
        assert_string_equal(undo, "\x18\033\\\033[0m");
}

static void test_feeding_to_rest_takes_no_more(void **state) {
        struct screen s = { 0 };

        screen_feed(&s, "\033[3", 3);
        assert_int_equal(screen_feed_to_rest(&s, "1mtext", 6), 2);
        assert_true(screen_is_at_rest(&s));
        assert_int_equal(screen_feed_to_rest(&s, "text", 4), 0);
}

static void test_any_bytes_are_survived(void **state) {
        struct screen s = { 0 };
        uint32_t x = 1;
        char undo[64];

        for (unsigned i = 0; i < 1000000; i++) {
                static const char likely[] = "\033[?;0123456789hlu<>=m]P\\\007\x18 !pq";
                char c;

                x = x * 1664525 + 1013904223;
                c = x >> 28 ? likely[(x >> 16) % (sizeof(likely) - 1)] : (char)(x >> 8);
                screen_feed(&s, &c, 1);
                if (i % 1000 == 0)
                        screen_undo(&s, undo, sizeof(undo));
        }
}

/* --- sessions, words, paths --- */

static void test_a_word_finds_one_session(void **state) {
        Nono__SessionInfo a = NONO__SESSION_INFO__INIT, b = NONO__SESSION_INFO__INIT, *both[] = { &a, &b };
        const Nono__SessionInfo *found = NULL;

        a.id = wire_bytes("ab12");
        b.id = wire_bytes("ab34");
        a.name = wire_bytes("work");
        b.name = wire_bytes("ab12"); /* a name that looks like the other's id does not take it */
        assert_int_equal(session_find(both, 2, "ab12", &found), SESSION_FIND_OK);
        assert_ptr_equal(found, &a);
        assert_int_equal(session_find(both, 2, "ab3", &found), SESSION_FIND_OK);
        assert_ptr_equal(found, &b);
        assert_int_equal(session_find(both, 2, "work", &found), SESSION_FIND_OK);
        assert_ptr_equal(found, &a);
        assert_int_equal(session_find(both, 2, "ab", &found), SESSION_FIND_E_MANY);
        assert_int_equal(session_find(both, 2, "x", &found), SESSION_FIND_E_NONE);
        assert_int_equal(session_find(both, 2, "", &found), SESSION_FIND_E_NONE);
        assert_int_equal(session_find(both, 2, NULL, &found), SESSION_FIND_E_MANY);
        assert_int_equal(session_find(both, 1, NULL, &found), SESSION_FIND_OK);
        assert_int_equal(session_find(both, 0, NULL, &found), SESSION_FIND_E_NONE);
        b.name = wire_bytes("work");
        assert_int_equal(session_find(both, 2, "work", &found), SESSION_FIND_E_MANY);
}

static void test_words_name_scopes_and_durations(void **state) {
        Nono__Duration d;
        Nono__Scope s;

        assert_int_equal(word_scope("folder", &s), 0);
        assert_int_equal(s, NONO__SCOPE__SCOPE_FOLDER);
        assert_int_equal(word_scope(NULL, &s), 0);
        assert_int_equal(s, NONO__SCOPE__SCOPE_DEFAULT);
        assert_int_equal(word_duration("15m", &d), 0);
        assert_int_equal(d, NONO__DURATION__DURATION_15M);
        assert_int_equal(word_duration("forever", &d), CLIENT_E_TOLD);
}

static void test_paths_become_absolute_and_keep_their_last_name(void **state) {
        char dir[] = "/tmp/nonoctl-path-XXXXXX", real[4096];
        char *path = NULL, *want;
        int fd_old = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_non_null(mkdtemp(dir));
        assert_int_equal(chdir(dir), 0);
        assert_non_null(realpath(dir, real));
        assert_int_equal(mkdir("a", 0700), 0);
        assert_int_equal(symlink("a", "link"), 0);
        assert_int_equal(mkdir("a/b", 0700), 0);
        {
                static const struct {
                        const char *raw, *want;
                } rows[] = { { "a", "/a" },       { "a/", "/a" },        { "./a//b", "/a/b" }, { "link", "/link" }, { "link/b", "/a/b" },
                             { "a/../a", "/a" },  { ".", "" },           { "a/b/..", "/a" },   { "link/", "/link" } };

                for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                        assert_int_equal(userpath_resolve("--allow", rows[i].raw, USERPATH_DIRECTORY, &path), 0);
                        want = mem_format("%s%s", real, rows[i].want);
                        assert_string_equal(path, want);
                        free(want);
                        free(path);
                }
        }
        assert_int_equal(userpath_resolve("--allow", "/", USERPATH_DIRECTORY, &path), 0);
        assert_string_equal(path, "/");
        free(path);
        assert_int_equal(userpath_resolve("--allow", "none", USERPATH_ANY, &path), CLIENT_E_TOLD);
        assert_int_equal(fchdir(fd_old), 0);
        (void)close(fd_old);
        want = mem_format("%s/a/b", dir);
        assert_int_equal(rmdir(want), 0);
        free(want);
        want = mem_format("%s/a", dir);
        assert_int_equal(rmdir(want), 0);
        free(want);
        want = mem_format("%s/link", dir);
        assert_int_equal(unlink(want), 0);
        free(want);
        assert_int_equal(rmdir(dir), 0);
}

static void test_the_exec_spec_is_sealed_and_whole(void **state) {
        char x[] = "x", none[] = "", space[] = "a b", a[] = "A=1";
        char *const argv[] = { x, none, space, NULL }, *const env[] = { a, NULL };
        struct launch l = { .program = "/bin/x", .workdir = "/w", .argv = argv, .env = env, .tty_mask = 5 };
        struct exec_spec h;
        char data[256];
        ssize_t n;
        int fd;

        l.size.ws_row = 24;
        l.size.ws_col = 80;
        fd = launch_memfd(&l);
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        n = pread(fd, data, sizeof(data), 0);
        memcpy(&h, data, sizeof(h));
        assert_int_equal(h.magic, EXEC_SPEC_MAGIC);
        assert_int_equal(h.size, n);
        assert_int_equal(h.n_argv, 3);
        assert_int_equal(h.n_env, 1);
        assert_int_equal(h.rows, 24);
        assert_int_equal(h.columns, 80);
        assert_int_equal(h.tty_mask, 5);
        assert_int_equal((size_t)n - sizeof(h), sizeof("/bin/x\0/w\0x\0\0a b\0A=1"));
        assert_memory_equal(data + sizeof(h), "/bin/x\0/w\0x\0\0a b\0A=1", (size_t)n - sizeof(h));
        (void)close(fd);
}

static void test_too_much_is_not_put_into_an_exec_spec(void **state) {
        char *big = mem_need(malloc(EXEC_SPEC_MAX));
        char *const argv[] = { big, NULL }, *const env[] = { NULL };
        struct launch l = { .program = "/bin/x", .workdir = "/w", .argv = argv, .env = env };

        memset(big, 'a', EXEC_SPEC_MAX);
        big[EXEC_SPEC_MAX - 1] = '\0';
        assert_int_equal(launch_memfd(&l), -E2BIG);
        free(big);
}

/* --- output --- */

static void test_json_keeps_any_bytes(void **state) {
        ProtobufCBinaryData bad = { 5, (uint8_t *)"a\xff\xe2\x82z" }, good = wire_bytes("caf\xc3\xa9\n");
        json_t *o = json_object();

        out_json_bytes(o, "bad", &bad);
        out_json_bytes(o, "good", &good);
        assert_string_equal(json_string_value(json_object_get(o, "bad")), "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
        assert_string_equal(json_string_value(json_object_get(o, "bad_base64")), "Yf/ign" "o=");
        assert_string_equal(json_string_value(json_object_get(o, "good")), "caf\xc3\xa9\n");
        assert_null(json_object_get(o, "good_base64"));
        json_decref(o);
}

static void test_event_lines_are_one_line_for_every_type(void **state) {
        Nono__Event e = event_for("/a\nb\033c");

        for (unsigned type = 0; type <= NONO__EVENT_TYPE__EVENT_CONNECTED; type++)
                for (unsigned reason = 0; reason <= NONO__REASON__REASON_SEALED; reason++) {
                        json_t *o;
                        char *line;

                        e.type = (Nono__EventType)type;
                        e.reason = (Nono__Reason)reason;
                        line = event_line(&e);
                        for (const char *p = line; *p; p++)
                                assert_true((unsigned char)*p >= 0x20);
                        free(line);
                        o = event_json(&e);
                        assert_non_null(json_object_get(o, "type"));
                        json_decref(o);
                }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_only_the_offered_letters_allow),
                cmocka_unit_test(test_more_than_one_key_at_once_is_no_answer),
                cmocka_unit_test(test_keyboards_that_report_in_full_are_understood),
                cmocka_unit_test(test_a_prompt_says_who_what_where_and_why),
                cmocka_unit_test(test_hostile_names_stay_inside_the_frame),
                cmocka_unit_test(test_a_long_path_is_whole_or_marked_and_its_last_name_whole),
                cmocka_unit_test(test_what_cannot_all_be_seen_cannot_be_allowed),
                cmocka_unit_test(test_every_terminal_size_gets_a_block),
                cmocka_unit_test(test_answers_carry_what_was_shown),
                cmocka_unit_test(test_rest_is_between_sequences),
                cmocka_unit_test(test_the_alternate_screen_is_noticed),
                cmocka_unit_test(test_what_is_set_is_undone),
                cmocka_unit_test(test_feeding_to_rest_takes_no_more),
                cmocka_unit_test(test_any_bytes_are_survived),
                cmocka_unit_test(test_a_word_finds_one_session),
                cmocka_unit_test(test_words_name_scopes_and_durations),
                cmocka_unit_test(test_paths_become_absolute_and_keep_their_last_name),
                cmocka_unit_test(test_the_exec_spec_is_sealed_and_whole),
                cmocka_unit_test(test_too_much_is_not_put_into_an_exec_spec),
                cmocka_unit_test(test_json_keeps_any_bytes),
                cmocka_unit_test(test_event_lines_are_one_line_for_every_type),
        };

        out_init();
        return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}

/*
 * What others wrote never acts on a terminal, and can be told apart from what we wrote.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/escape.h"

static void expect(const char *in, size_t n, const char *want) {
        char out[256];

        escape_text(in, n, out, sizeof(out));
        assert_string_equal(out, want);
}

static void test_plain_text_stays_as_it_is(void **state) {
        expect("src/main.c", 10, "src/main.c");
        expect("Grüße/日本", strlen("Grüße/日本"), "Grüße/日本");
        expect("", 0, "");
}

static void test_controls_become_visible(void **state) {
        expect("a\nb\tc\rd", 7, "a\\nb\\tc\\rd");
        expect("\033[2J", 4, "\\e[2J");
        expect("x\0y", 3, "x\\x00y");
        expect("\x7f", 1, "\\x7f");
        expect("\xc2\x9b" "31m", 5, "\\u{9b}31m"); /* C1 CSI in UTF-8 */
}

static void test_bytes_that_are_not_utf8_become_visible(void **state) {
        expect("\xff\xfe", 2, "\\xff\\xfe");
        expect("\xc0\xaf", 2, "\\xc0\\xaf");         /* overlong '/' */
        expect("\xed\xa0\x80", 3, "\\xed\\xa0\\x80"); /* surrogate */
        expect("\xe2\x82", 2, "\\xe2\\x82");         /* cut short */
}

static void test_invisible_and_bidi_characters_become_visible(void **state) {
        expect("a\u202e" "b", 5, "a\\u{202e}b");
        expect("\u200b\ufeff", 6, "\\u{200b}\\u{feff}");
        expect("\u2028", 3, "\\u{2028}");
}

static void test_backslashes_and_hiding_spaces_become_visible(void **state) {
        expect("a\\nb", 4, "a\\\\nb");
        expect("a  b ", 5, "a\\x20 b\\x20");
}

static void test_what_is_too_long_is_cut_with_a_mark(void **state) {
        char out[16];

        assert_true(escape_text("0123456789abcdefghij", 20, out, sizeof(out)) < sizeof(out));
        assert_non_null(strstr(out, "…"));
}

static void test_random_bytes_never_leave_a_control_character(void **state) {
        char in[64], out[1024];

        srand(1);
        for (int i = 0; i < 20000; i++) {
                size_t n = (size_t)(rand() % (int)sizeof(in)), len;

                for (size_t k = 0; k < n; k++)
                        in[k] = (char)rand();
                len = escape_text(in, n, out, sizeof(out));
                assert_int_equal(strlen(out), len);
                for (size_t k = 0; k < len; k++)
                        assert_true((unsigned char)out[k] >= 0x20 && out[k] != 0x7f);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_plain_text_stays_as_it_is),
                cmocka_unit_test(test_controls_become_visible),
                cmocka_unit_test(test_bytes_that_are_not_utf8_become_visible),
                cmocka_unit_test(test_invisible_and_bidi_characters_become_visible),
                cmocka_unit_test(test_backslashes_and_hiding_spaces_become_visible),
                cmocka_unit_test(test_what_is_too_long_is_cut_with_a_mark),
                cmocka_unit_test(test_random_bytes_never_leave_a_control_character),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

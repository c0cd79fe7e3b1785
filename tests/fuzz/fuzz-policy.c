/*
 * Fuzz: the first byte chooses the kind of file, the rest is its text. What loads is compiled and asked.
 * With -DFUZZ_ONCE: each file named on the command line once, and every prefix and some flipped bits of it.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "daemon/policy/edit.h"
#include "daemon/policy/lint.h"
#include "daemon/policy/policy.h"
#include "daemon/policy/show.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int fuzz_add(struct policy_store *s, enum policy_kind kind, const char *name, const char *text) {
        return policy_store_add(s, kind, name, text, strlen(text), name, false, NULL);
}

static void fuzz_compile(const struct policy_store *s) {
        static const char *const paths[] = { "/", "/home/u", "/home/u/.ssh/id", "/home/u/p/.env", "/tmp/x", "/usr/bin/a" };
        struct policy_vars vars = {
                .home = "/home/u", .workdir = "/home/u/p", .tmpdir = "/tmp", .config_home = "/home/u/.config", .uid = 1000,
        };
        struct policy_error err;

        for (int i = 0; i < 2; i++) {
                struct policy_plan *plan = NULL;

                vars.macos = i;
                if (policy_compile(s, "fuzz", &vars, &plan, &err))
                        continue;
                for (size_t k = 0; k < ELEMENTSOF(paths); k++)
                        for (unsigned access = 1; access <= 3; access++)
                                (void)policy_verdict(plan, paths[k], access);
                policy_plan_free(plan);
        }
}

/* What is added to a profile can be taken out, and what is shown is JSON. */
static void fuzz_profile(struct policy_store *s, const char *text, size_t n) {
        static const struct policy_vars vars = { .home = "/home/u", .workdir = "/home/u/p", .uid = 1000 };
        const struct lint_options options = { .vars = &vars, .user = true };
        _cleanup_free_ char *added = NULL, *removed = NULL;
        _cleanup_(lint_done) struct lint lint = { .findings = NULL };
        struct policy_error err;
        json_t *shown = NULL;
        size_t n_added, n_removed;

        if (edit_add(text, n, "fuzz", "filesystem.read", "/fuzz", &added, &n_added, &err) == 0 &&
            edit_remove(added, n_added, "fuzz", "filesystem.read", "/fuzz", &removed, &n_removed, &err) != 0)
                abort();
        if (show_profile_file(s, "fuzz", &vars, &shown, &err) == 0)
                json_decref(shown);
        if (show_diff(s, "default", "fuzz", &vars, &shown, &err) == 0)
                json_decref(shown);
        (void)lint_profile(s, "fuzz", text, n, "fuzz", &options, &lint);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_(policy_store_freep) struct policy_store *s = NULL;
        struct policy_error err;

        if (n < 1)
                return 0;
        s = policy_store_new();
        if (!s || fuzz_add(s, POLICY_GROUP, "git_config", "{\"required\":true,\"deny\":{\"access\":[\"~/.ssh\"]}}") ||
            fuzz_add(s, POLICY_PROFILE, "default", "{}") ||
            policy_store_add(s, (enum policy_kind)(data[0] % 5), "fuzz", (const char *)data + 1, n - 1, "fuzz", data[0] & 8,
                             &err))
                return 0;
        (void)fuzz_add(s, POLICY_PROFILE, "child", "{\"extends\":\"fuzz\"}");
        fuzz_compile(s);
        if (data[0] % 5 == POLICY_PROFILE)
                fuzz_profile(s, (const char *)data + 1, n - 1);
        return 0;
}

#ifdef FUZZ_ONCE
static void fuzz_variants(uint8_t *data, size_t n) {
        (void)LLVMFuzzerTestOneInput(data, n);
        for (size_t i = 1; i < n; i += 1 + n / 200) {
                uint8_t *prefix = malloc(i); /* exact size, for the address sanitizer */

                if (!prefix)
                        return;
                memcpy(prefix, data, i);
                (void)LLVMFuzzerTestOneInput(prefix, i);
                free(prefix);
                for (unsigned bit = 0; bit < 8; bit++) {
                        data[i] ^= (uint8_t)BIT(bit);
                        (void)LLVMFuzzerTestOneInput(data, n);
                        data[i] ^= (uint8_t)BIT(bit);
                }
        }
}

int main(int argc, char **argv) {
        static uint8_t data[64 * 1024];

        for (int i = 1; i < argc; i++) {
                _cleanup_fclose_ FILE *f = fopen(argv[i], "re");
                size_t n;

                if (!f) {
                        (void)fprintf(stderr, "cannot open %s\n", argv[i]);
                        return 1;
                }
                for (unsigned kind = 0; kind < 5; kind++) {
                        rewind(f);
                        n = fread(data + 1, 1, sizeof(data) - 1, f);
                        data[0] = (uint8_t)(kind | (kind == POLICY_PROFILE ? 8 : 0));
                        if (kind < 2)
                                fuzz_variants(data, n + 1);
                        else
                                (void)LLVMFuzzerTestOneInput(data, n + 1);
                }
        }
        return 0;
}
#endif

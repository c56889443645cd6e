/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Runs a fuzz target over the files of its corpus, without a fuzzer: so that every build
 * replays what was found once. Arguments: files and folders.
 */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned n_inputs;

static int run_file(const char *path) {
        FILE *file = fopen(path, "re");
        struct stat st;
        uint8_t *data;
        size_t size;

        if (!file)
                return -1;
        if (fstat(fileno(file), &st) < 0) {
                (void)fclose(file);
                return -1;
        }
        data = malloc((size_t)st.st_size); /* exact: a byte read behind it is seen */
        size = data ? fread(data, 1, (size_t)st.st_size, file) : 0;
        (void)fclose(file);
        if (data)
                (void)LLVMFuzzerTestOneInput(data, size);
        free(data);
        n_inputs++;
        return 0;
}

static int run_folder(const char *path) {
        struct dirent **entries;
        int n = scandir(path, &entries, NULL, alphasort), r = 0;

        for (int i = 0; i < n; i++) {
                char file[4096];

                (void)snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
                if (entries[i]->d_name[0] != '.' && run_file(file) < 0)
                        r = -1;
                free(entries[i]);
        }
        if (n >= 0)
                free(entries);
        return r;
}

int main(int argc, char **argv) {
        int r = 0;

        for (int i = 1; i < argc; i++) {
                struct stat st;

                if (stat(argv[i], &st) == 0)
                        r |= S_ISDIR(st.st_mode) ? run_folder(argv[i]) : run_file(argv[i]);
                else
                        r = -1;
        }
        (void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
        (void)printf("%u inputs\n", n_inputs);
        return r < 0 || n_inputs == 0; /* a target without a corpus replays nothing */
}

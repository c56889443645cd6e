/* SPDX-License-Identifier: Apache-2.0 */

#include <locale.h>
#include <signal.h>
#include <time.h>

#include "cli/cli.h"

int main(int argc, char **argv) {
        Output output;

        /* Characters alone: numbers and dates are the same in every locale. */
        (void)setlocale(LC_CTYPE, "");
        tzset();
        (void)signal(SIGPIPE, SIG_DFL);
        output_init(&output);

        return cli_main(argc, argv, &output);
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "supervisor/model.h"

Release *release_free(Release *release) {
        if (!release)
                return NULL;

        free(release->description);
        pairs_clear(&release->processes);
        pairs_clear(&release->config);
        free(release);
        return NULL;
}

void slug_clear(Slug *slug) {
        pairs_clear(&slug->processes);
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * libarchive reads the tar; what becomes of an entry is decided here and made by
 * tree_writer.c. archive_write_disk(3) is not used: its checks look at paths, ours are
 * the kernel's at each step.
 */

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "image/archive_source.h"
#include "image/entry_name.h"
#include "image/extract.h"
#include "image/path_set.h"
#include "image/tar_watch.h"
#include "image/tree_writer.h"

/*
 * Bytes of paths that are kept until the end, of folders and of skipped devices: 500 and 60 for
 * each of 1,000,000 entries. With an xz dictionary of 1 GiB it fits unpack_confine.c's memory.
 */
#define FOLDER_BYTES_MAX (UINT64_C(512) << 20)
#define DEVICE_BYTES_MAX (UINT64_C(64) << 20)

typedef struct Extract {
        ArchiveSource *source;
        struct archive *tar;
        TarWatch *watch;
        TreeWriter *writer;
        TreeBudget budget;
        PathSet devices; /* that were skipped */
        UnpackReport *report;
        const UnpackLimits *limits;
        ExtractKind kind;
        uint64_t outside_app;
        ssize_t source_result; /* carried through libarchive's callback */

        const TarEntry *entry; /* the current one */
        EntryName name;        /* … its */
        const char *raw_name;
} Extract;

static int refuse(Extract *x, UnpackReason reason, int error) {
        const char *text = x->raw_name;

        return report_refuse(x->report, reason, error, text, text ? strlen(text) : 0);
}

/* A positive reason becomes a refusal that names the entry. */
static int settle(Extract *x, int r) {
        return r > 0 ? refuse(x, (UnpackReason)r, 0) : r;
}

/* Return: @size, -EBADMSG (refused), or a negative errno. */
static ssize_t watch_bytes(Extract *x, const void *data, ssize_t size) {
        const char *name;
        size_t name_size;
        int r;

        r = tar_watch_feed(x->watch, data, (size_t)size);
        if (r <= 0)
                return r < 0 ? r : size;
        name = tar_watch_name(x->watch, &name_size);
        return report_refuse(x->report, (UnpackReason)r, 0, name, name_size);
}

static la_ssize_t source_read(struct archive *a, void *userdata, const void **ret) {
        Extract *x = userdata;

        x->source_result = archive_source_read(x->source, ret);
        if (x->source_result > 0)
                x->source_result = watch_bytes(x, *ret, x->source_result);
        if (x->source_result < 0) {
                archive_set_error(a, (int)-x->source_result, "read");
                return ARCHIVE_FATAL;
        }
        return x->source_result;
}

static int tar_failed(Extract *x) {
        const TarEntry *next = tar_watch_peek(x->watch);

        if (x->source_result < 0)
                return (int)x->source_result;
        if (archive_errno(x->tar) == ENOMEM)
                return -ENOMEM;
        if (!x->raw_name && next) /* the one that it did not get through */
                x->raw_name = next->name;
        return refuse(x, UNPACK_CORRUPT, 0);
}

static int count_bytes(Extract *x, uint64_t size) {
        UnpackCounts *counts = &x->report->counts;

        if (size > x->limits->max_bytes - counts->tree_bytes)
                return refuse(x, UNPACK_TOO_LARGE, 0);
        counts->tree_bytes += size;
        return archive_source_check_ratio(x->source, counts->tree_bytes);
}

static int write_block(int fd, const char *data, size_t size, off_t offset) {
        while (size > 0) {
                ssize_t n = pwrite(fd, data, size, offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                data += n;
                size -= (size_t)n;
                offset += n;
        }
        return 0;
}

/* Writes the entry's blocks; holes of sparse files stay holes. */
static int copy_data(Extract *x, int fd, uint64_t size) {
        uint64_t end = 0;
        int r;

        for (;;) {
                const void *data;
                size_t n;
                la_int64_t offset;

                r = archive_read_data_block(x->tar, &data, &n, &offset);
                if (r == ARCHIVE_EOF)
                        break;
                if (r != ARCHIVE_OK)
                        return tar_failed(x);
                /*
                 * The size was counted against the limit: no byte may lie behind it. Where
                 * the chunks of a sparse file overlap, the last one wins for some only.
                 */
                if (offset < 0 || (uint64_t)offset < end || (uint64_t)offset > size ||
                    n > size - (uint64_t)offset)
                        return refuse(x, UNPACK_CORRUPT, 0);
                r = write_block(fd, data, n, offset);
                if (r < 0)
                        return r;
                end = (uint64_t)offset + n;
                report_progress(x->report);
        }
        if (end < size && ftruncate(fd, (off_t)size) < 0)
                return -errno;
        return 0;
}

static int extract_file(Extract *x, struct archive_entry *entry, const TreeEntry *what) {
        const struct timespec times[2] = {what->mtime, what->mtime};
        _cleanup_close_ int fd = -EBADF;
        uint64_t size = x->entry->size;
        int r;

        if (archive_entry_size(entry) < 0 || (uint64_t)archive_entry_size(entry) != size)
                return refuse(x, UNPACK_CORRUPT, 0);
        r = count_bytes(x, size);
        if (r < 0)
                return r;
        r = tree_writer_file(x->writer, what, &fd);
        if (r != 0)
                return settle(x, r);
        if (size > 0) {
                r = copy_data(x, fd, size);
                if (r < 0)
                        return r;
        }
        return futimens(fd, times) < 0 ? -errno : 0;
}

static int skip_device(Extract *x, const TreeEntry *what) {
        int r = path_set_add(&x->devices, what->path);

        if (r < 0)
                return r == -E2BIG ? refuse(x, UNPACK_TOO_MANY_ENTRIES, 0) : r;
        x->report->counts.devices++;
        return 0;
}

static int extract_hardlink(Extract *x, const TreeEntry *what) {
        const char *raw = x->entry->link;
        EntryName target;
        UnpackReason reason;
        int r;

        reason = entry_name_parse(&target, raw);
        if (reason != UNPACK_OK)
                return refuse(
                        x, reason == UNPACK_NAME_DOTDOT ? UNPACK_HARDLINK_OUTSIDE : reason, 0);

        /* That could only be a folder. */
        if (raw[strlen(raw) - 1] == '/' || entry_name_ends_with_dot(raw))
                return refuse(x, UNPACK_HARDLINK_OUTSIDE, 0);

        r = tree_writer_hardlink(x->writer, what, target.path);
        /* A second name of a device that was skipped. */
        if (r == UNPACK_HARDLINK_OUTSIDE && entry_name_is_below(what->path, "dev") &&
            path_set_has(&x->devices, target.path))
                return skip_device(x, what);
        return settle(x, r);
}

/* Folders that dynod mounts over or puts files into: a link there would redirect it. */
static bool must_be_folder(ExtractKind kind, const char *path) {
        static const char *const stack_folders[] = {
                "dev", "proc", "sys", "app", "tmp", "var", "etc"};

        if (kind == EXTRACT_SLUG)
                return strcmp(path, "app") == 0;
        for (size_t i = 0; i < ARRAY_SIZE(stack_folders); i++)
                if (strcmp(path, stack_folders[i]) == 0)
                        return true;
        return false;
}

static int extract_symlink(Extract *x, const TreeEntry *what) {
        const char *target = x->entry->link;

        if (*target == '\0')
                return refuse(x, UNPACK_CORRUPT, 0);
        if (must_be_folder(x->kind, what->path))
                return refuse(
                        x,
                        x->kind == EXTRACT_SLUG ? UNPACK_SLUG_APP_IS_LINK
                                                : UNPACK_STACK_DIR_IS_LINK,
                        0);
        return settle(x, tree_writer_symlink(x->writer, what, target));
}

static int extract_special(Extract *x, const TreeEntry *what) {
        if (!entry_name_is_below(what->path, "dev"))
                return refuse(x, UNPACK_SPECIAL_FILE, 0);
        return skip_device(x, what);
}

static int extract_by_type(Extract *x, struct archive_entry *entry, const TreeEntry *what) {
        mode_t type = x->entry->type;

        /* The top is a folder whatever its entry says, and so is "name/.". */
        if (type != S_IFDIR && (*what->path == '\0' || what->is_inside))
                return refuse(x, UNPACK_CORRUPT, 0);

        switch (type) {
        case 0:
                return extract_hardlink(x, what);
        case S_IFDIR:
                return settle(x, tree_writer_folder(x->writer, what));
        case S_IFREG:
                return extract_file(x, entry, what);
        case S_IFLNK:
                return extract_symlink(x, what);
        case S_IFCHR:
        case S_IFBLK:
        case S_IFIFO:
                return extract_special(x, what);
        default:
                return refuse(x, UNPACK_CORRUPT, 0);
        }
}

/* What is dropped from an entry, and with how many. */
static void count_changes(Extract *x, struct archive_entry *entry) {
        UnpackCounts *counts = &x->report->counts;
        unsigned long set, clear;

        archive_entry_fflags(entry, &set, &clear);
        if (archive_entry_xattr_count(entry) > 0 || archive_entry_acl_types(entry) != 0 ||
            set != 0 || archive_entry_fflags_text(entry))
                counts->xattrs++;
        if (x->entry->mode & 07000 && x->entry->type != S_IFLNK && x->entry->type != 0)
                counts->mode_bits++;
        if (x->name.absolute)
                counts->absolute++;
        if (*x->name.path != '\0' && !entry_name_is_below(x->name.path, "app"))
                x->outside_app++;
}

static int extract_entry(Extract *x, struct archive_entry *entry) {
        TreeEntry what = {
                .path = x->name.path,
                .mode = x->entry->mode & 0777,
                .mtime = x->entry->mtime,
                .is_inside = entry_name_ends_with_dot(x->raw_name),
        };
        UnpackCounts *counts = &x->report->counts;
        UnpackReason reason;
        uint64_t left;
        int r;

        if (counts->entries >= x->limits->max_entries)
                return refuse(x, UNPACK_TOO_MANY_ENTRIES, 0);
        reason = entry_name_parse(&x->name, x->raw_name);
        if (reason != UNPACK_OK)
                return refuse(x, reason, 0);
        count_changes(x, entry);

        /* Folders on the way to it count as much as it does. */
        counts->entries++;
        left = x->budget.folders = x->limits->max_entries - counts->entries;
        r = extract_by_type(x, entry, &what);
        counts->entries += left - x->budget.folders;
        if (r == -ENAMETOOLONG)
                r = refuse(x, UNPACK_NAME_TOO_LONG, 0);
        if (r == 0)
                report_progress(x->report);
        return r;
}

/* Takes what the watch says of the entry that libarchive is at. */
static int take_entry(Extract *x) {
        int64_t position = archive_read_header_position(x->tar);

        x->entry = tar_watch_next(x->watch);
        if (!x->entry)
                return refuse(x, UNPACK_CORRUPT, 0);
        x->raw_name = x->entry->name;
        /* Of two readers, each sees entries where the other sees a file's content. */
        if (position < 0 || (uint64_t)position != x->entry->at)
                return refuse(x, UNPACK_CORRUPT, 0);
        return 0;
}

/* A name that is not of the locale's character set: it is not libarchive's that is used. */
static bool is_about_charset(Extract *x) {
        return archive_errno(x->tar) == EILSEQ; /* ARCHIVE_ERRNO_FILE_FORMAT */
}

static int extract_entries(Extract *x) {
        struct archive_entry *entry;
        bool first = true;
        int r;

        for (;; first = false) {
                x->raw_name = NULL;
                archive_clear_error(x->tar);
                r = archive_read_next_header(x->tar, &entry);
                if (r == ARCHIVE_EOF)
                        return tar_watch_peek(x->watch) ? tar_failed(x) : 0;
                if (r != ARCHIVE_OK && !(r == ARCHIVE_WARN && is_about_charset(x))) {
                        if (first && r != ARCHIVE_WARN && x->source_result >= 0)
                                return refuse(x, UNPACK_NOT_AN_ARCHIVE, 0);
                        return tar_failed(x);
                }
                r = take_entry(x);
                if (r == 0)
                        r = extract_entry(x, entry);
                if (r < 0)
                        return r;
        }
}

/*
 * A tar ends with zeroes; one that just stops was cut off. What follows them is read to
 * its end, since the checksums of the packed archive stand there.
 */
static int check_end(Extract *x) {
        const void *data;
        ssize_t n;

        do
                n = archive_source_read(x->source, &data);
        while (n > 0);
        if (n < 0)
                return (int)n;
        return tar_watch_is_at_end(x->watch) ? 0 : refuse(x, UNPACK_CORRUPT, 0);
}

static int open_tar(Extract *x, int root_fd) {
        int r;

        x->budget.folder_bytes = FOLDER_BYTES_MAX;
        x->devices.bytes_left = DEVICE_BYTES_MAX;
        r = tree_writer_new(&x->writer, root_fd, &x->budget);
        if (r == 0)
                r = tar_watch_new(&x->watch);
        if (r < 0)
                return r;
        x->tar = archive_read_new();
        if (!x->tar)
                return -ENOMEM;
        if (archive_read_support_format_tar(x->tar) != ARCHIVE_OK)
                return -EOPNOTSUPP;
        if (archive_read_open(x->tar, x, NULL, source_read, NULL) != ARCHIVE_OK)
                return x->source_result < 0 ? (int)x->source_result
                                            : refuse(x, UNPACK_NOT_AN_ARCHIVE, 0);
        return 0;
}

int extract_tree(
        int archive_fd,
        int root_fd,
        ExtractKind kind,
        const UnpackLimits *limits,
        UnpackReport *report,
        ExtractResult *ret) {
        Extract x = {.report = report, .limits = limits, .kind = kind};
        int r;

        assert(limits->max_ratio > 0);

        r = archive_source_new(&x.source, archive_fd, report, limits->max_ratio);
        if (r == 0)
                r = open_tar(&x, root_fd);
        if (r == 0)
                r = extract_entries(&x);
        if (r == 0)
                r = check_end(&x);
        if (r == 0)
                r = tree_writer_finish(x.writer);
        if (r == 0)
                ret->outside_app = x.outside_app;

        if (x.tar)
                (void)archive_read_free(x.tar);
        tar_watch_free(x.watch);
        tree_writer_free(x.writer);
        path_set_clear(&x.devices);
        archive_source_free(x.source);
        return r;
}

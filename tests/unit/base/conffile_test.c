/* SPDX-License-Identifier: Apache-2.0 */
/* One configuration file: its lines, its mistakes, its absence. */
#include "base/conffile.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static void make_file(void)
{
    strcpy(path, "/tmp/whorl-conffile-test-XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
}

static void remove_file(void)
{
    cr_expect(unlink(path) == 0);
}

TestSuite(conffile, .init = make_file, .fini = remove_file);

static void read_text(struct wh_conffile *file, const char *text)
{
    FILE *stream = fopen(path, "w");
    cr_assert(stream != NULL);
    cr_assert(fputs(text, stream) >= 0);
    cr_assert(fclose(stream) == 0);
    cr_assert(wh_conffile_init(file, path) == WHORL_OK);
    cr_expect_str_eq(file->path, path);
}

static void expect_value(struct wh_conffile *file, const char *name, const char *value)
{
    const char *found = wh_conffile_lookup(name, file);
    cr_assert(found != NULL, "%s is not found", name);
    cr_expect_str_eq(found, value);
}

Test(conffile, blanks_quotes_and_equal_signs_are_part_of_a_value)
{
    struct wh_conffile file;
    read_text(&file, "A= x \nB=\"y\"\nC=a=b\nD=\nE=last line without an end");
    expect_value(&file, "A", " x ");
    expect_value(&file, "B", "\"y\"");
    expect_value(&file, "C", "a=b");
    expect_value(&file, "D", "");
    expect_value(&file, "E", "last line without an end");
    cr_expect(wh_conffile_lookup("F", &file) == NULL);
    wh_conffile_fini(&file);
}

Test(conffile, a_comment_begins_in_column_0_and_empty_lines_do_not_count)
{
    struct wh_conffile file;
    read_text(&file, "#A=1\n\n \t\n\r\nB=2 # part of the value\n");
    cr_expect(file.why == 0);
    cr_expect(file.nlines == 1);
    cr_expect(file.lines[0].number == 5);
    cr_expect(wh_conffile_lookup("A", &file) == NULL);
    expect_value(&file, "B", "2 # part of the value");
    wh_conffile_fini(&file);
}

Test(conffile, the_first_line_with_a_name_wins)
{
    struct wh_conffile file;
    read_text(&file, "A=1\nA=2\n");
    expect_value(&file, "A", "1");
    wh_conffile_fini(&file);
}

Test(conffile, a_line_that_is_no_setting_is_kept_without_a_name)
{
    struct wh_conffile file;
    read_text(&file, "nonsense\n=x\n A=1\nA =1\n #no comment\n");
    cr_expect(file.nlines == 5);
    for (size_t i = 0; i < file.nlines; i++) {
        cr_expect(file.lines[i].name == NULL, "line %zu", file.lines[i].number);
        cr_expect(file.lines[i].number == i + 1);
    }
    wh_conffile_fini(&file);
}

Test(conffile, a_file_that_is_missing_or_no_file_is_empty_and_says_why)
{
    struct wh_conffile file;
    cr_assert(wh_conffile_init(&file, "/no/such/file") == WHORL_OK);
    cr_expect(file.why == ENOENT);
    cr_expect(file.nlines == 0);
    wh_conffile_fini(&file);

    cr_assert(wh_conffile_init(&file, "/") == WHORL_OK);
    cr_expect(file.why == EISDIR);
    cr_expect(file.nlines == 0);
    wh_conffile_fini(&file);
}

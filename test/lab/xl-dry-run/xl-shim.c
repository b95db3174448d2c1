/*
 * Lets the real xl parse a configuration where there is no Xen: `xl -N create` needs no hypervisor to read a file, but opens
 * its handles first. Loaded before libxl (LD_PRELOAD); a tool for tests. The numbers of xc_physinfo lie where Xen 4.17 has them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char handle[4096];

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags) { return handle; }
int xc_interface_close(void *xch) { return 0; }
void *xs_open(unsigned long flags) { return handle; }
void xs_close(void *xsh) {}
int xc_get_max_cpus(void *xch) { return 4; }
int xc_get_max_nodes(void *xch) { return 1; }
long xc_sharing_freed_pages(void *xch) { return 0; }
long xc_sharing_used_frames(void *xch) { return 0; }

/* A machine of four processors and 4 GiB, half of it free. */
int xc_physinfo(void *xch, uint32_t *info)
{
    static const uint32_t words[] = { 1, 4, 4, 3, 1, 0, 2000000, 0xb };
    memset(info, 0, 10 * sizeof(*info));
    memcpy(info, words, sizeof(words));
    ((uint64_t *)(info + 10))[0] = 1 << 20;
    ((uint64_t *)(info + 10))[1] = 1 << 19;
    return 0;
}

/*
 * The settings of the machine (/etc/xen/xl.conf) are not the business of a test, and without the first line xl would ask the
 * hypervisor for its command line. Every other file is read as it is.
 */
int libxl_read_file_contents(void *ctx, const char *path, void **data, int *length)
{
    static const char settings[] = "autoballoon=\"off\"\n";
    const char *name = strrchr(path, '/');
    if (name && !strcmp(name, "/xl.conf")) {
        *data = memcpy(malloc(sizeof(settings)), settings, sizeof(settings));
        *length = sizeof(settings) - 1;
        return 0;
    }
    FILE *file = fopen(path, "r");
    if (!file) return errno;
    size_t used = 0, room = 1 << 20;
    char *text = malloc(room);
    for (size_t got; (got = fread(text + used, 1, room - used, file)) > 0;)
        if ((used += got) == room) text = realloc(text, room *= 2);
    fclose(file);
    *data = text;
    *length = (int)used;
    return 0;
}

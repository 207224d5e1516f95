/*
 * A stand-in for libgpfs: gpfs_getacl and gpfs_putacl of gpfs.h with GPFS_GETACL_STRUCT, kept as they are in an
 * extended attribute. An object without one is "not a GPFS file" (EINVAL). Decided by the kernel as the calling
 * thread: reading needs read permission, writing write permission, as for every attribute of a user.
 */
#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <sys/xattr.h>

#define NAME "user.gpfs_acl"
#define STRUCT 0x20

static int filled(ssize_t size, const char *data, void *acl)
{
  unsigned int room;
  memcpy(&room, acl, 4);
  if (size < 0) {
    if (errno == ENODATA) errno = EINVAL;
    return -1;
  }
  if ((size_t)size > room) {
    unsigned int needed = (unsigned int)size;
    memcpy(acl, &needed, 4);
    errno = ENOSPC;
    return -1;
  }
  memcpy(acl, data, (size_t)size);
  return 0;
}

static int flagged(int flags)
{
  if (flags == STRUCT) return 0;
  errno = EINVAL;
  return -1;
}

int gpfs_getacl(const char *path, int flags, void *acl)
{
  static __thread char data[65536];
  return flagged(flags) ? -1 : filled(getxattr(path, NAME, data, sizeof data), data, acl);
}

int gpfs_putacl(const char *path, int flags, void *acl)
{
  unsigned int size;
  memcpy(&size, acl, 4);
  return flagged(flags) ? -1 : setxattr(path, NAME, acl, size, 0);
}

#ifndef OLD_RELEASE
int gpfs_getacl_fd(int fd, int flags, void *acl)
{
  static __thread char data[65536];
  return flagged(flags) ? -1 : filled(fgetxattr(fd, NAME, data, sizeof data), data, acl);
}

int gpfs_putacl_fd(int fd, int flags, void *acl)
{
  unsigned int size;
  memcpy(&size, acl, 4);
  return flagged(flags) ? -1 : fsetxattr(fd, NAME, acl, size, 0);
}
#endif

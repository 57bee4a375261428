/* A disk that fails on demand, for files below one folder: preloaded into a server by tests/disk/faults.py.
 *
 * It wakes when FAULTY_CONTROL and FAULTY_FOLDER are in the environment. What it does is said in a file of 64-bit
 * integers that both map (see `struct control`). With `lose`, a failing sync takes away what was written since the last
 * one that succeeded, as a kernel may that has dropped the pages, and later ones succeed: what anyone believed to be on
 * the disk by then is not. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct control {
  int64_t write_error;  /* errno of every write and truncation; 0: they work */
  int64_t sync_error;   /* errno of a failing sync; 0: they work */
  int64_t sync_chance;  /* how many of a thousand syncs fail */
  int64_t lose;         /* whether a failing sync loses what was written */
  int64_t space;        /* bytes that files may still grow; below 0: no limit */
  int64_t failed;       /* how often anything failed */
  int64_t lost;         /* bytes that were lost */
  int64_t database_only;/* whether only the database file itself fails */
  int64_t hang;         /* whether syncs wait until this is 0 */
};

struct undo {
  struct undo *earlier;
  int file; /* that it was written through, as the one that is synced may be read-only */
  dev_t device;
  ino_t inode;
  off_t offset;
  size_t size;
  char old[];
};

static struct control *control;
static char folder[4096];
static struct undo *undone;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned int seed = 1;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_open)(const char *, int, ...);

__attribute__((constructor)) static void begin(void) {
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_write = dlsym(RTLD_NEXT, "write");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
  real_open = dlsym(RTLD_NEXT, "open64");
}

/* Whether it is asked for. Looked for until it is: a process may be forked from one in which it was not. */
static int asked_for(void) {
  if (__atomic_load_n(&control, __ATOMIC_ACQUIRE) != NULL) return 1;
  const char *path = getenv("FAULTY_CONTROL"), *below = getenv("FAULTY_FOLDER");
  if (path == NULL || below == NULL || real_open == NULL) return 0;
  pthread_mutex_lock(&mutex);
  if (control == NULL) {
    int file = real_open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) abort();
    struct control *mapped = mmap(NULL, sizeof *mapped, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED) abort();
    snprintf(folder, sizeof folder, "%s/", below);
    __atomic_store_n(&control, mapped, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&mutex);
  return 1;
}

static int concerned(int file) {
  char link[64], path[4096];
  if (!asked_for()) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return 0;
  path[size] = 0;
  if (strncmp(path, folder, strlen(folder)) != 0) return 0;
  return !control->database_only || (size > 8 && strcmp(path + size - 8, ".sqlite3") == 0);
}

static int fails(int64_t error) {
  __atomic_add_fetch(&control->failed, 1, __ATOMIC_RELAXED);
  errno = (int)error;
  return -1;
}

static int grows_too_much(int file, off_t end) {
  struct stat now;
  if (control->space < 0 || fstat(file, &now) != 0 || end <= now.st_size) return 0;
  if (end - now.st_size > control->space) return 1;
  control->space -= end - now.st_size;
  return 0;
}

static void remember(int file, off_t offset, size_t size) {
  struct stat now;
  if (!control->lose || fstat(file, &now) != 0) return;
  struct undo *each = calloc(1, sizeof *each + size);
  if (each == NULL) return;
  /* Beyond the old end of the file there were zeros. */
  each->file = file, each->device = now.st_dev, each->inode = now.st_ino, each->offset = offset, each->size = size;
  if (pread(file, each->old, size, offset) < 0) memset(each->old, 0, size);
  pthread_mutex_lock(&mutex);
  each->earlier = undone, undone = each;
  pthread_mutex_unlock(&mutex);
}

static void settle(int file, int lose) {
  struct stat now;
  if (fstat(file, &now) != 0) return;
  pthread_mutex_lock(&mutex);
  for (struct undo **at = &undone; *at != NULL;) {
    struct undo *each = *at;
    if (each->device != now.st_dev || each->inode != now.st_ino) {
      at = &each->earlier;
      continue;
    }
    if (lose && real_pwrite(each->file, each->old, each->size, each->offset) > 0) control->lost += (int64_t)each->size;
    *at = each->earlier;
    free(each);
  }
  pthread_mutex_unlock(&mutex);
}

static int sync_of(int file, int (*real)(int)) {
  if (!concerned(file)) return real(file);
  while (*(volatile int64_t *)&control->hang) usleep(10000);
  if (control->sync_error && rand_r(&seed) % 1000 < control->sync_chance) {
    settle(file, control->lose != 0);
    return fails(control->sync_error);
  }
  int result = real(file);
  if (result == 0) settle(file, 0);
  return result;
}

int fsync(int file) { return sync_of(file, real_fsync); }
int fdatasync(int file) { return sync_of(file, real_fdatasync); }

ssize_t pwrite64(int file, const void *data, size_t size, off_t offset) {
  if (concerned(file)) {
    if (control->write_error) return fails(control->write_error);
    if (grows_too_much(file, offset + (off_t)size)) return fails(ENOSPC);
    remember(file, offset, size);
  }
  return real_pwrite(file, data, size, offset);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t offset) { return pwrite64(file, data, size, offset); }

ssize_t write(int file, const void *data, size_t size) {
  if (concerned(file)) {
    struct stat now;
    if (control->write_error) return fails(control->write_error);
    off_t at = lseek(file, 0, SEEK_CUR);
    if (fstat(file, &now) == 0 && (fcntl(file, F_GETFL) & O_APPEND)) at = now.st_size;
    if (grows_too_much(file, at + (off_t)size)) return fails(ENOSPC);
    remember(file, at, size);
  }
  return real_write(file, data, size);
}

int ftruncate64(int file, off_t size) {
  if (concerned(file) && control->write_error) return fails(control->write_error);
  return real_ftruncate(file, size);
}
int ftruncate(int file, off_t size) { return ftruncate64(file, size); }

static int opens_to_write(const char *path, int flags) {
  return asked_for() && control->write_error == EROFS && strncmp(path, folder, strlen(folder)) == 0 &&
         ((flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)));
}

#define OPEN(name)                                                     \
  int name(const char *path, int flags, ...) {                         \
    static int (*real)(const char *, int, ...);                        \
    if (real == NULL) real = dlsym(RTLD_NEXT, #name);                  \
    va_list rest;                                                      \
    va_start(rest, flags);                                             \
    int mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, int) : 0;\
    va_end(rest);                                                      \
    if (opens_to_write(path, flags)) return fails(EROFS);              \
    return real(path, flags, mode);                                    \
  }
OPEN(open)
OPEN(open64)

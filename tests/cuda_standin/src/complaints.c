// Complaints: what the program did that a real GPU would refuse, or replay wrongly.
#include "standin.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

const char ALLOCATION_IN_CAPTURE[] = "allocation-in-capture";
const char BAD_CAPTURE[] = "bad-capture";
const char BAD_FREE[] = "bad-free";
const char BAD_LAUNCH[] = "bad-launch";
const char COPY_IN_CAPTURE[] = "copy-in-capture";
const char LAUNCH_NOT_CAPTURED[] = "launch-not-captured";
const char SYNCHRONISATION_IN_CAPTURE[] = "synchronisation-in-capture";

void complain(const char *kind, const char *format, ...) {
    char detail[256], line[384];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    int size = snprintf(line, sizeof line, "cuda stand-in: %s: %s\n", kind, detail);
    const char *path = getenv("CUDA_STANDIN_COMPLAINTS");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0644) : STDERR_FILENO;
    if (file < 0 || write(file, line, size) != size) {  // a complaint that is lost is worse than an end
        perror("cuda stand-in: cannot complain");
        abort();
    }
    if (path) close(file);
}

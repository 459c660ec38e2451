/* report_page: report.html, as the assembler takes it in; paths are from the root of the tree. */
#include "train/report/report_parts.h"

__asm__(".pushsection .rodata\n"
        ".global report_page\n"
        "report_page:\n"
        ".incbin \"train/report/report.html\"\n"
        ".byte 0\n"
        ".popsection\n");

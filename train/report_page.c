/* report_page: report.html, as the assembler takes it in; paths are from the root of the tree. */
#include "train/report_parts.h"

__asm__(".pushsection .rodata\n"
        ".global report_page_begin, report_page_end\n"
        "report_page_begin:\n"
        ".incbin \"train/report.html\"\n"
        "report_page_end:\n"
        ".byte 0\n"
        ".popsection\n");

/* SPDX-License-Identifier: Apache-2.0 */
/* State files: whatever reads as a record must be written and read again as the same text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct claim_record r = {0}, again = {0};
	struct error e = {0};
	char *text = NULL, *text_again = NULL;
	size_t len, len_again;
	if (record_decode(data, size, &r, &e) < 0) {
		if (!e.text[0])
			abort();
		return 0;
	}
	if (record_encode(&r, &text, &len, &e) < 0 || record_decode(text, len, &again, &e) < 0 ||
	    record_encode(&again, &text_again, &len_again, &e) < 0 || strcmp(text, text_again) != 0)
		abort();
	claim_record_free(&r);
	claim_record_free(&again);
	free(text);
	free(text_again);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* main() for a fuzz target outside libFuzzer: runs each file named on the command line through it once. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f) {
		perror(path);
		return 1;
	}
	size_t cap = 1 << 20, len;
	uint8_t *data = malloc(cap);
	if (!data) {
		fclose(f);
		return 1;
	}
	len = fread(data, 1, cap, f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = 0;
	for (int i = 1; i < argc; i++)
		failed |= replay_file(argv[i]);
	return failed;
}

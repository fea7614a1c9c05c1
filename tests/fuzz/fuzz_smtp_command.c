#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "smtpd/smtp/smtp_command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str line = str_from(data, size);
	struct smtp_command command;
	uint64_t bytes;
	bool is_last;
	smtp_command_parse(line, &command);
	assert(command.verb < SMTP_VERB_COUNT);
	assert(command.word.length + command.argument.length <= size);
	assert(smtp_command_verb_name(command.verb)[0] != '\0');
	if (smtp_command_is_text(line)) {
		for (size_t i = 0; i < size; i++)
			assert(data[i] == '\t' || (data[i] >= ' ' && data[i] != 0x7f));
	}
	if (smtp_command_parse_chunk(command.argument, &bytes, &is_last))
		assert(bytes <= INT64_MAX);
	if (smtp_command_is_hello_name(command.argument))
		assert(str_is_ascii(command.argument) && command.argument.length <= 255);
	struct str argument = command.argument;
	if (smtp_command_take_keyword(&argument, STR("FROM:")))
		assert(argument.length + 5 <= command.argument.length);
	return 0;
}

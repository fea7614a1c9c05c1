/* dialogue_words: the words of a script and what they do. See README.md for the list.
 */
#ifndef TESTS_DIALOGUE_DIALOGUE_WORDS_H
#define TESTS_DIALOGUE_DIALOGUE_WORDS_H

#include "tests/dialogue/dialogue_house.h"

struct dialogue {
	struct dialogue_house house;
	struct dialogue_client *current; /* NULL before the first connection */
	char why[1000];			 /* after a failure */
};

/* One line of a script. False with d->why. */
bool dialogue_words_run(struct dialogue *d, struct str line);

#endif

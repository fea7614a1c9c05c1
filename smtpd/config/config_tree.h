/* config_tree: the statements of a file held against the tables of the rooms. Pure.
 *
 * For:     config_load: before libConfuse parses (better words for mistakes) and after it (every
 *          option then knows where it was said, for conf_error).
 */
#ifndef SMTPD_CONFIG_CONFIG_TREE_H
#define SMTPD_CONFIG_CONFIG_TREE_H

#include <confuse.h>
#include <stdbool.h>

#include "libtlsio/base/err.h"
#include "smtpd/config/config_text.h"

/* Unknown names (with the one that was probably meant), sections where options should be and the
 * other way round, missing titles, lists where one value goes, everything said twice. */
int config_tree_check(const struct config_statement *statements, cfg_opt_t *options,
	const char *section_name, struct err *err);

/* Notes the place of each option that was given in its comment, and where each section begins in
 * its filename and line. Call on the root after a successful parse of the same statements. */
void config_tree_annotate(cfg_t *section, const struct config_statement *statements);
/* The option or section was said in the file (after config_tree_annotate). */
bool config_tree_is_given(cfg_t *section, const char *option);

#endif

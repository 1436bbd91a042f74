/* A program that does not look whether a call went well: compilers warn. */
#include "swinir.h"

void drops_status(swinir_session* session);
void drops_status(swinir_session* session) { swinir_session_restore(session, NULL, NULL); }

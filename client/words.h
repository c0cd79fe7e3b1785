/*
 * Words — values of options that stand for a value of the protocol.
 */
#pragma once

#include "nono.pb-c.h"

/* NULL: the default. Return: 0; CLIENT_E_TOLD. */
int word_scope(const char *word, Nono__Scope *ret);
int word_duration(const char *word, Nono__Duration *ret);

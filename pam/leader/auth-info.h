/*
 * The file of SSH_USER_AUTH (ExposeAuthInfo of sshd_config(5)): made as the user, removed at the end
 * of the login. Runs in: leader and its children.
 */
#pragma once
#include "account.h"
#include "frame.h"
#include "link.h"

enum { AUTH_INFO_MAX = 64 * 1024 };

struct auth_info {
  char path[32]; /* chosen before it is made; empty: none was asked for */
};

struct leader;
void order_auth_info(struct leader *leader, const struct call *call, struct reader *reader);
/* As the user. */
void auth_info_remove(const struct auth_info *info, const struct account *account);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the rows of the command table run, one function per command.
 *
 * Return: the exit status, or -1 with @reterr filled.
 */

#include "cli/command.h"

int cmd_apps(Invocation *invocation, Failure *reterr);
int cmd_apps_create(Invocation *invocation, Failure *reterr);
int cmd_apps_info(Invocation *invocation, Failure *reterr);
int cmd_apps_rename(Invocation *invocation, Failure *reterr);
int cmd_apps_destroy(Invocation *invocation, Failure *reterr);
int cmd_deploy(Invocation *invocation, Failure *reterr);
int cmd_releases(Invocation *invocation, Failure *reterr);
int cmd_releases_info(Invocation *invocation, Failure *reterr);
int cmd_releases_rollback(Invocation *invocation, Failure *reterr);
int cmd_config(Invocation *invocation, Failure *reterr);
int cmd_config_get(Invocation *invocation, Failure *reterr);
int cmd_config_set(Invocation *invocation, Failure *reterr);
int cmd_config_unset(Invocation *invocation, Failure *reterr);
int cmd_ps(Invocation *invocation, Failure *reterr);
int cmd_ps_scale(Invocation *invocation, Failure *reterr);
int cmd_ps_restart(Invocation *invocation, Failure *reterr);
int cmd_ps_stop(Invocation *invocation, Failure *reterr);
int cmd_ps_wait(Invocation *invocation, Failure *reterr);
int cmd_ps_inspect(Invocation *invocation, Failure *reterr);
int cmd_ps_exec(Invocation *invocation, Failure *reterr);
int cmd_run(Invocation *invocation, Failure *reterr);
int cmd_run_detached(Invocation *invocation, Failure *reterr);
int cmd_logs(Invocation *invocation, Failure *reterr);
int cmd_stacks(Invocation *invocation, Failure *reterr);
int cmd_stacks_import(Invocation *invocation, Failure *reterr);
int cmd_stacks_remove(Invocation *invocation, Failure *reterr);
int cmd_stack(Invocation *invocation, Failure *reterr);
int cmd_stack_set(Invocation *invocation, Failure *reterr);
int cmd_firewall(Invocation *invocation, Failure *reterr);
int cmd_firewall_allow(Invocation *invocation, Failure *reterr);
int cmd_firewall_deny(Invocation *invocation, Failure *reterr);
int cmd_firewall_remove(Invocation *invocation, Failure *reterr);
int cmd_firewall_reset(Invocation *invocation, Failure *reterr);
int cmd_firewall_source(Invocation *invocation, Failure *reterr);
int cmd_trusted_ips(Invocation *invocation, Failure *reterr);
int cmd_trusted_ips_add(Invocation *invocation, Failure *reterr);
int cmd_trusted_ips_remove(Invocation *invocation, Failure *reterr);
int cmd_ps_publish(Invocation *invocation, Failure *reterr);
int cmd_ps_unpublish(Invocation *invocation, Failure *reterr);
int cmd_services(Invocation *invocation, Failure *reterr);
int cmd_services_add(Invocation *invocation, Failure *reterr);
int cmd_services_remove(Invocation *invocation, Failure *reterr);
int cmd_sizes(Invocation *invocation, Failure *reterr);
int cmd_doctor(Invocation *invocation, Failure *reterr);
int cmd_host_info(Invocation *invocation, Failure *reterr);
int cmd_version(Invocation *invocation, Failure *reterr);
int cmd_help(Invocation *invocation, Failure *reterr);

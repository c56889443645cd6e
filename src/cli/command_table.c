/* SPDX-License-Identifier: Apache-2.0 */

#include <limits.h>
#include <string.h>

#include "cli/command.h"
#include "cli/commands.h"

/* clang-format off */
const OptionDef option_table[_OPT_MAX] = {
        [OPT_APP]       = {"app", NULL, 'a', 0, OPTION_TEXT, "APP", "the app; else HEROKU_APP names it", false},
        [OPT_JSON]      = {"json", NULL, 'J', 0, OPTION_FLAG, NULL, "results as JSON, errors too", false},
        [OPT_SOCKET]    = {"socket", NULL, 0, 0, OPTION_TEXT, "PATH", "control socket; else DYNOD_SOCKET, else /run/dynod/control.sock", false},
        [OPT_HOST]      = {"host", NULL, 'H', 0, OPTION_TEXT, "[USER@]HOST", "run herokuctl on another host, over ssh", false},
        [OPT_QUIET]     = {"quiet", NULL, 'q', 0, OPTION_FLAG, NULL, "do not say what is being done", false},
        [OPT_NO_COLOR]  = {"no-color", NULL, 0, 0, OPTION_FLAG, NULL, "no colour; NO_COLOR does the same", false},
        [OPT_HELP]      = {"help", NULL, 'h', 0, OPTION_FLAG, NULL, "help for the command", false},
        [OPT_FILE_NAME] = {"file-name", NULL, 0, 0, OPTION_TEXT, "NAME", "what to call standard input", true},

        [OPT_ALL]       = {"all", NULL, 'A', 0, OPTION_FLAG, NULL, "all apps of the host", false},
        [OPT_CHECKSUM]  = {"checksum", NULL, 0, 0, OPTION_DIGEST, "SHA256:HEX", "refuse the file if it has another SHA-256", false},
        [OPT_STACK]     = {"stack", NULL, 's', 0, OPTION_TEXT, "NAME", "the stack; else the newest", false},
        [OPT_CONFIRM]   = {"confirm", NULL, 'c', 0, OPTION_TEXT, "APP", "the app's name again: do not ask", false},
        [OPT_PROCESS]   = {"process", NULL, 0, 0, OPTION_PAIRS, "TYPE=CMD", "a process type, for a slug without Procfile; may be repeated", false},
        [OPT_NO_WAIT]   = {"no-wait", NULL, 0, 0, OPTION_FLAG, NULL, "return when the release is made, not when its dynos are up", false},
        [OPT_SHELL]     = {"shell", NULL, 's', 0, OPTION_FLAG, NULL, "as NAME=value lines that a shell reads", false},
        [OPT_FROM_FILE] = {"from-file", NULL, 0, 0, OPTION_FILE, "FILE", "NAME=value lines of a .env file; - is standard input", false},
        [OPT_TIMEOUT]   = {"timeout", NULL, 0, 0, OPTION_DURATION, "TIME", "give up after this long (120s)", false},
        [OPT_TIMING]    = {"timing", NULL, 0, 0, OPTION_FLAG, NULL, "also where the time of its start went", false},
        [OPT_DETACHED]  = {"detached", NULL, 'd', 0, OPTION_FLAG, NULL, "do not wait; its output goes to the logs", false},
        [OPT_SIZE]      = {"size", NULL, 's', 0, OPTION_TEXT, "SIZE", "dyno size, see sizes", false},
        [OPT_ENV]       = {"env", NULL, 'e', 0, OPTION_PAIRS, "NAME=VALUE", "a variable for this dyno alone; may be repeated", false},
        [OPT_NO_TTY]    = {"no-tty", NULL, 0, 0, OPTION_FLAG, NULL, "no terminal, even if this is one", false},
        [OPT_NUM]       = {"num", NULL, 'n', 0, OPTION_NUMBER, "N", "how many lines (100)", false},
        [OPT_TAIL]      = {"tail", NULL, 't', 0, OPTION_FLAG, NULL, "go on with new lines until Ctrl-C", false},
        [OPT_PS]        = {"ps", "dyno-name", 'p', 'd', OPTION_TEXT, "TYPE|DYNO", "only lines of this process type or dyno", false},
        [OPT_SOURCE]    = {"source", NULL, 's', 0, OPTION_TEXT, "app|heroku", "only lines of the app or of dynod", false},
        [OPT_SINCE]     = {"since", NULL, 0, 0, OPTION_TEXT, "TIME", "only newer lines: 10m, or 2026-11-23T19:19:31Z", false},
        [OPT_GREP]      = {"grep", NULL, 0, 0, OPTION_TEXT, "RE", "only lines that match an extended regular expression", false},
        [OPT_STRICT]    = {"strict", NULL, 0, 0, OPTION_FLAG, NULL, "status 1 also for a gap that allow_missing allows", false},
};

const Command command_table[] = {
        {
                .name = "apps", .aliases = {"apps:list", "list"}, .arguments = "",
                .summary = "list the apps",
                .examples = {"herokuctl apps", "herokuctl apps --json | jq -r '.[].name'"},
                .flags = COMMAND_DAILY,
                .run = cmd_apps,
        },
        {
                .name = "apps:create", .aliases = {"create"}, .arguments = "APP",
                .summary = "create an app",
                .text = "Names are 3 to 30 lower-case letters, digits and dashes, a letter first.",
                .examples = {"herokuctl apps:create shop", "herokuctl create shop --stack debian-12"},
                .flags = COMMAND_APP_OPTIONAL | COMMAND_DAILY, .max_args = 1,
                .options = {OPT_STACK},
                .run = cmd_apps_create,
        },
        {
                .name = "apps:info", .aliases = {"info", "apps:show"}, .arguments = "[APP]",
                .summary = "show one app: stack, release, formation",
                .examples = {"herokuctl info -a shop", "herokuctl apps:info shop --json"},
                .flags = COMMAND_APP, .max_args = 1, .kind = {ARGUMENT_APP},
                .run = cmd_apps_info,
        },
        {
                .name = "apps:rename", .aliases = {"rename"}, .arguments = "[OLD] NEW",
                .summary = "give an app another name",
                .text = "Restarts its dynos: HEROKU_APP_NAME of a running one cannot change.",
                .examples = {"herokuctl apps:rename store -a shop", "herokuctl apps:rename shop store"},
                .flags = COMMAND_APP, .min_args = 1, .max_args = 2, .kind = {ARGUMENT_APP},
                .run = cmd_apps_rename,
        },
        {
                .name = "apps:destroy", .aliases = {"destroy", "apps:delete"}, .arguments = "[APP]",
                .summary = "remove an app with its dynos, releases and logs",
                .text = "Asks for the app's name on a terminal; --confirm APP answers it.",
                .examples = {"herokuctl apps:destroy shop", "herokuctl destroy -a shop --confirm shop"},
                .flags = COMMAND_APP, .max_args = 1, .kind = {ARGUMENT_APP},
                .options = {OPT_CONFIRM},
                .run = cmd_apps_destroy,
        },
        {
                .name = "deploy", .arguments = "FILE",
                .summary = "make a release of a slug and start it",
                .text = "FILE is a tar archive, plain or gzip, xz or zstd; - is standard input. The "
                        "first release with a web type starts one web dyno. Ends when all dynos of "
                        "the release are up; with status 1 and the last log lines of the first one "
                        "that is not.",
                .examples = {"herokuctl deploy slug.tgz -a shop",
                             "herokuctl deploy slug.tgz -a shop --checksum SHA256:9c1f...",
                             "tar c app | herokuctl deploy - -a shop --process web='python3 app.py'"},
                .flags = COMMAND_APP | COMMAND_DAILY, .min_args = 1, .max_args = 1, .kind = {ARGUMENT_FILE},
                .options = {OPT_CHECKSUM, OPT_PROCESS, OPT_NO_WAIT},
                .run = cmd_deploy,
        },
        {
                .name = "releases", .arguments = "",
                .summary = "list the releases of an app",
                .examples = {"herokuctl releases -a shop", "herokuctl releases -a shop --json"},
                .flags = COMMAND_APP,
                .run = cmd_releases,
        },
        {
                .name = "releases:info", .aliases = {"release"}, .arguments = "[vN]",
                .summary = "show one release: slug, process types, names of config vars",
                .examples = {"herokuctl releases:info -a shop", "herokuctl releases:info v14 -a shop"},
                .flags = COMMAND_APP, .max_args = 1, .kind = {ARGUMENT_RELEASE},
                .run = cmd_releases_info,
        },
        {
                .name = "releases:rollback", .aliases = {"rollback"}, .arguments = "[vN]",
                .summary = "go back to the release before, or to vN",
                .text = "Restores slug and config vars of that release, and is a new release itself.",
                .examples = {"herokuctl rollback -a shop", "herokuctl rollback v14 -a shop"},
                .flags = COMMAND_APP | COMMAND_DAILY, .max_args = 1, .kind = {ARGUMENT_RELEASE},
                .options = {OPT_NO_WAIT},
                .run = cmd_releases_rollback,
        },
        {
                .name = "config", .arguments = "",
                .summary = "show the config vars of an app",
                .examples = {"herokuctl config -a shop", "herokuctl config -s -a shop > .env"},
                .flags = COMMAND_APP, .options = {OPT_SHELL},
                .run = cmd_config,
        },
        {
                .name = "config:get", .arguments = "NAME...",
                .summary = "print the values of config vars",
                .examples = {"herokuctl config:get REDIS_URL -a shop"},
                .flags = COMMAND_APP, .min_args = 1, .max_args = UINT_MAX,
                .kind = {ARGUMENT_CONFIG, ARGUMENT_CONFIG}, .options = {OPT_SHELL},
                .run = cmd_config_get,
        },
        {
                .name = "config:set", .aliases = {"config:add"}, .arguments = "[NAME=VALUE...]",
                .summary = "set config vars: a new release, and a restart",
                .text = "NAME=- takes the value from standard input, so that no other user of the host "
                        "sees it in the list of processes.",
                .examples = {"herokuctl config:set GREETING=hello -a shop",
                             "herokuctl config:set REDIS_URL=- -a shop < url.txt",
                             "herokuctl config:set --from-file .env -a shop"},
                .flags = COMMAND_APP | COMMAND_DAILY, .max_args = UINT_MAX,
                .kind = {ARGUMENT_CONFIG, ARGUMENT_CONFIG}, .options = {OPT_FROM_FILE},
                .run = cmd_config_set,
        },
        {
                .name = "config:unset", .aliases = {"config:remove"}, .arguments = "NAME...",
                .summary = "remove config vars: a new release, and a restart",
                .examples = {"herokuctl config:unset GREETING -a shop"},
                .flags = COMMAND_APP, .min_args = 1, .max_args = UINT_MAX,
                .kind = {ARGUMENT_CONFIG, ARGUMENT_CONFIG},
                .run = cmd_config_unset,
        },
        {
                .name = "ps", .aliases = {"ps:list", "dyno"}, .arguments = "[TYPE...]",
                .summary = "list the dynos: state, memory, and why one is not up",
                .examples = {"herokuctl ps -a shop", "herokuctl ps web -a shop",
                             "herokuctl ps -A --json | jq '.[]|select(.state!=\"up\")'"},
                .flags = COMMAND_APP_OR_ALL | COMMAND_DAILY, .max_args = UINT_MAX,
                .kind = {ARGUMENT_TYPE, ARGUMENT_TYPE}, .options = {OPT_ALL},
                .run = cmd_ps,
        },
        {
                .name = "ps:scale", .aliases = {"scale", "dyno:scale"}, .arguments = "[TYPE=N[:SIZE]...]",
                .summary = "set how many dynos of which size run, or show it",
                .text = "TYPE=N sets, TYPE+N and TYPE-N change. Without arguments it prints the formation "
                        "in the form that it takes.",
                .examples = {"herokuctl ps:scale web=2 -a shop", "herokuctl scale web+1 worker=1:standard-2x -a shop",
                             "herokuctl ps:scale -a shop"},
                .flags = COMMAND_APP | COMMAND_DAILY, .max_args = UINT_MAX, .kind = {ARGUMENT_TYPE, ARGUMENT_TYPE},
                .run = cmd_ps_scale,
        },
        {
                .name = "ps:restart", .aliases = {"restart", "dyno:restart"}, .arguments = "[TYPE|DYNO]",
                .summary = "restart all dynos of an app, those of a type, or one",
                .examples = {"herokuctl ps:restart -a shop", "herokuctl restart web -a shop",
                             "herokuctl ps:restart web.1 -a shop"},
                .flags = COMMAND_APP | COMMAND_DAILY, .max_args = 1, .kind = {ARGUMENT_DYNO},
                .run = cmd_ps_restart,
        },
        {
                .name = "ps:stop", .aliases = {"ps:kill", "dyno:stop", "dyno:kill"}, .arguments = "TYPE|DYNO",
                .summary = "stop dynos; they stay down until restart, scale or release",
                .examples = {"herokuctl ps:stop run.4821 -a shop", "herokuctl ps:stop worker -a shop"},
                .flags = COMMAND_APP, .min_args = 1, .max_args = 1, .kind = {ARGUMENT_DYNO},
                .run = cmd_ps_stop,
        },
        {
                .name = "ps:wait", .arguments = "",
                .summary = "wait until everything asked for is up",
                .text = "Status 0 when it is, 1 when a dyno crashed twice on the current release, 5 when "
                        "the time is over.",
                .examples = {"herokuctl ps:wait -a shop", "herokuctl ps:wait -a shop --timeout 5m"},
                .flags = COMMAND_APP, .options = {OPT_TIMEOUT},
                .run = cmd_ps_wait,
        },
        {
                .name = "ps:inspect", .arguments = "DYNO",
                .summary = "every isolation layer of a dyno as the kernel reports it",
                .text = "Status 1 when a layer is not as it was asked for.",
                .examples = {"herokuctl ps:inspect web.1 -a shop", "herokuctl ps:inspect web.1 -a shop --timing"},
                .flags = COMMAND_APP, .min_args = 1, .max_args = 1, .kind = {ARGUMENT_DYNO},
                .options = {OPT_TIMING},
                .run = cmd_ps_inspect,
        },
        {
                .name = "ps:exec", .arguments = "DYNO [--] [CMD...]",
                .summary = "run a command inside a dyno, under the same layers",
                .text = "Ends with the command's status. Without CMD it is a shell.",
                .examples = {"herokuctl ps:exec web.1 -a shop", "herokuctl ps:exec -a shop web.1 -- ls -l /app"},
                .flags = COMMAND_APP | COMMAND_PASS | COMMAND_RUN, .min_args = 1, .max_args = UINT_MAX,
                .kind = {ARGUMENT_DYNO}, .options = {OPT_ENV, OPT_NO_TTY},
                .run = cmd_ps_exec,
        },
        {
                .name = "ps:publish", .arguments = "[[web] PORT]",
                .summary = "lead a TCP port of this host to the web dynos, or list such ports",
                .text = "Connections from outside are spread over the web dynos of the app; who may connect "
                        "is for trusted-ips.",
                .examples = {"herokuctl ps:publish web 8080 -a shop", "herokuctl ps:publish -a shop"},
                .flags = COMMAND_APP, .max_args = 2, .kind = {ARGUMENT_TYPE},
                .run = cmd_ps_publish,
        },
        {
                .name = "ps:unpublish", .arguments = "[web] PORT",
                .summary = "close a published port of this host",
                .examples = {"herokuctl ps:unpublish 8080 -a shop"},
                .flags = COMMAND_APP, .min_args = 1, .max_args = 2, .kind = {ARGUMENT_PUBLISHED, ARGUMENT_PUBLISHED},
                .run = cmd_ps_unpublish,
        },
        {
                .name = "run", .arguments = "[--] CMD...",
                .summary = "run a one-off dyno",
                .text = "Ends with the command's status. A process type as first word stands for its "
                        "command.",
                .examples = {"herokuctl run -a shop -- bash", "herokuctl run -a shop --size performance-m -- rake db:migrate",
                             "herokuctl run:detached -a shop -- python3 nightly.py"},
                .flags = COMMAND_APP | COMMAND_PASS | COMMAND_RUN | COMMAND_DAILY, .min_args = 1, .max_args = UINT_MAX,
                .kind = {ARGUMENT_TYPE}, .options = {OPT_DETACHED, OPT_SIZE, OPT_ENV, OPT_NO_TTY},
                .run = cmd_run,
        },
        {
                .name = "run:detached", .arguments = "[--] CMD...",
                .summary = "run a one-off dyno in the background",
                .examples = {"herokuctl run:detached -a shop -- python3 nightly.py"},
                .flags = COMMAND_APP | COMMAND_PASS, .min_args = 1, .max_args = UINT_MAX,
                .kind = {ARGUMENT_TYPE}, .options = {OPT_SIZE, OPT_ENV},
                .run = cmd_run_detached,
        },
        {
                .name = "logs", .arguments = "",
                .summary = "show what the dynos wrote and what happened to them",
                .examples = {"herokuctl logs -a shop", "herokuctl logs -t -p web -a shop",
                             "herokuctl logs -a shop --since 10m --source heroku --grep 'R1[45]'"},
                .flags = COMMAND_APP_OR_ALL | COMMAND_DAILY,
                .options = {OPT_ALL, OPT_NUM, OPT_TAIL, OPT_PS, OPT_SOURCE, OPT_SINCE, OPT_GREP},
                .run = cmd_logs,
        },
        {
                .name = "stacks", .aliases = {"stacks:list"}, .arguments = "",
                .summary = "list the stacks of the host",
                .examples = {"herokuctl stacks"},
                .run = cmd_stacks,
        },
        {
                .name = "stacks:import", .arguments = "NAME FILE",
                .summary = "import a root file system as a stack",
                .text = "FILE is a tar archive, plain or gzip, xz or zstd; - is standard input. Under a name "
                        "that exists it becomes the next version.",
                .examples = {"herokuctl stacks:import debian-12 root.tar.zst",
                             "mmdebstrap bookworm - | herokuctl stacks:import debian-12 -"},
                .flags = COMMAND_DAILY, .min_args = 2, .max_args = 2, .kind = {ARGUMENT_STACK, ARGUMENT_FILE},
                .options = {OPT_CHECKSUM},
                .run = cmd_stacks_import,
        },
        {
                .name = "stacks:remove", .aliases = {"stacks:destroy"}, .arguments = "NAME[@VERSION]",
                .summary = "remove a stack that no app uses",
                .examples = {"herokuctl stacks:remove debian-12@1"},
                .min_args = 1, .max_args = 1, .kind = {ARGUMENT_STACK},
                .run = cmd_stacks_remove,
        },
        {
                .name = "stack", .aliases = {"stack:info"}, .arguments = "",
                .summary = "show which stack an app is on",
                .examples = {"herokuctl stack -a shop"},
                .flags = COMMAND_APP,
                .run = cmd_stack,
        },
        {
                .name = "stack:set", .arguments = "NAME",
                .summary = "put an app on another stack, from its next release on",
                .examples = {"herokuctl stack:set debian-12 -a shop"},
                .flags = COMMAND_APP, .min_args = 1, .max_args = 1, .kind = {ARGUMENT_STACK},
                .run = cmd_stack_set,
        },
        {
                .name = "firewall", .aliases = {"firewall:list", "firewall:info"}, .arguments = "",
                .summary = "show what the dynos of an app may reach",
                .text = "Without rules a dyno reaches other networks and the resolvers, as on Heroku. The "
                        "first rule that fits decides; a new one goes first, so that what was said last "
                        "counts: after firewall:allow 10.0.0.0/8 and then firewall:deny 10.1.0.0/16, "
                        "10.2.0.1 is reached and 10.1.0.1 is not. No rule opens this host, other dynos or "
                        "link-local addresses. The resolvers answer unless a rule denies them, closed or not. "
                        "A change holds for running dynos at once, for open connections too.",
                .examples = {"herokuctl firewall -a shop",
                             "herokuctl firewall:deny any -a shop",
                             "herokuctl firewall:allow 10.0.0.0/8:5432/tcp -a shop"},
                .flags = COMMAND_APP,
                .run = cmd_firewall,
        },
        {
                .name = "firewall:allow", .arguments = "NETWORK[:PORT[-PORT]][/tcp|/udp|/icmp]...",
                .summary = "let the dynos reach a network, or a port of it",
                .text = "any stands for every network: alone it opens what no rule fits, as at the "
                        "beginning. A port without a protocol means tcp and udp; a rule without both "
                        "means every protocol, and is the only one for those that are not tcp, udp or icmp. "
                        "What is allowed already stays where it is.",
                .examples = {"herokuctl firewall:allow 10.0.0.0/8:5432/tcp -a shop",
                             "herokuctl firewall:allow any:443/tcp 192.0.2.7 -a shop",
                             "herokuctl firewall:allow any -a shop"},
                .flags = COMMAND_APP, .min_args = 1, .max_args = UINT_MAX,
                .run = cmd_firewall_allow,
        },
        {
                .name = "firewall:deny", .arguments = "NETWORK[:PORT[-PORT]][/tcp|/udp|/icmp]...",
                .summary = "keep the dynos from a network, or a port of it",
                .text = "any alone closes what no rule fits; rules that allow something stay.",
                .examples = {"herokuctl firewall:deny any -a shop",
                             "herokuctl firewall:deny any:25/tcp -a shop",
                             "herokuctl firewall:deny 10.1.0.0/16 -a shop"},
                .flags = COMMAND_APP, .min_args = 1, .max_args = UINT_MAX,
                .run = cmd_firewall_deny,
        },
        {
                .name = "firewall:remove", .aliases = {"firewall:delete"}, .arguments = "N|RULE",
                .summary = "remove one rule, by its number or by what it says",
                .examples = {"herokuctl firewall:remove 2 -a shop",
                             "herokuctl firewall:remove 10.0.0.0/8:5432/tcp -a shop"},
                .flags = COMMAND_APP, .min_args = 1, .max_args = 1, .kind = {ARGUMENT_RULE},
                .run = cmd_firewall_remove,
        },
        {
                .name = "firewall:reset", .arguments = "",
                .summary = "open the firewall of an app and remove all its rules",
                .examples = {"herokuctl firewall:reset -a shop"},
                .flags = COMMAND_APP,
                .run = cmd_firewall_reset,
        },
        {
                .name = "firewall:source", .arguments = "ADDRESS|auto",
                .summary = "send what leaves the dynos from one fixed address of this host",
                .text = "For peers that let known addresses in. auto is any address of the host again. "
                        "TCP connections that the dynos have open come to an end. While the host has not that "
                        "address, they reach nothing.",
                .examples = {"herokuctl firewall:source 203.0.113.5 -a shop",
                             "herokuctl firewall:source auto -a shop"},
                .flags = COMMAND_APP, .min_args = 1, .max_args = 1,
                .run = cmd_firewall_source,
        },
        {
                .name = "trusted-ips", .aliases = {"trusted-ips:list"}, .arguments = "",
                .summary = "show who may connect to the published ports of an app",
                .text = "By itself everybody. The first network that is added shuts out all others; when "
                        "the last one is removed nobody may connect; 0.0.0.0/0 is everybody.",
                .examples = {"herokuctl trusted-ips -a shop"},
                .flags = COMMAND_APP,
                .run = cmd_trusted_ips,
        },
        {
                .name = "trusted-ips:add", .arguments = "CIDR...",
                .summary = "let a network connect to the published ports, and none that is not added",
                .text = "At most 20 networks.",
                .examples = {"herokuctl trusted-ips:add 203.0.113.0/24 -a shop",
                             "herokuctl trusted-ips:add 0.0.0.0/0 -a shop"},
                .flags = COMMAND_APP, .min_args = 1, .max_args = UINT_MAX,
                .run = cmd_trusted_ips_add,
        },
        {
                .name = "trusted-ips:remove", .arguments = "CIDR...",
                .summary = "keep a network from the published ports",
                .examples = {"herokuctl trusted-ips:remove 203.0.113.0/24 -a shop"},
                .flags = COMMAND_APP, .min_args = 1, .max_args = UINT_MAX,
                .kind = {ARGUMENT_TRUSTED, ARGUMENT_TRUSTED},
                .run = cmd_trusted_ips_remove,
        },
        {
                .name = "services", .aliases = {"services:list"}, .arguments = "",
                .summary = "list the ports of this host that an app may reach",
                .examples = {"herokuctl services -a shop"},
                .flags = COMMAND_APP,
                .run = cmd_services,
        },
        {
                .name = "services:add", .arguments = "NAME PORT[/udp]",
                .summary = "open one port of this host to the dynos, for a database on the same server",
                .text = "Dynos reach it at service_address, on which the service has to listen, UDP at that very "
                        "address and not at 0.0.0.0; see dynod.conf(5). It is reached whatever the firewall says.",
                .examples = {"herokuctl services:add postgres 5432 -a shop",
                             "herokuctl services:add dns 53/udp -a shop"},
                .flags = COMMAND_APP, .min_args = 2, .max_args = 2,
                .run = cmd_services_add,
        },
        {
                .name = "services:remove", .arguments = "NAME",
                .summary = "close a port of this host again",
                .examples = {"herokuctl services:remove postgres -a shop"},
                .flags = COMMAND_APP, .min_args = 1, .max_args = 1, .kind = {ARGUMENT_SERVICE},
                .run = cmd_services_remove,
        },
        {
                .name = "sizes", .aliases = {"ps:sizes"}, .arguments = "",
                .summary = "list the dyno sizes",
                .examples = {"herokuctl sizes"},
                .run = cmd_sizes,
        },
        {
                .name = "doctor", .arguments = "",
                .summary = "check whether dynos can start on this host, and say how to fix it",
                .text = "Status 1 when they cannot.",
                .examples = {"herokuctl doctor", "herokuctl doctor --strict && echo all layers are there"},
                .flags = COMMAND_DAILY, .options = {OPT_STRICT},
                .run = cmd_doctor,
        },
        {
                .name = "host:info", .aliases = {"host"}, .arguments = "",
                .summary = "show the host: size, load, what runs",
                .examples = {"herokuctl host:info"},
                .run = cmd_host_info,
        },
        {
                .name = "version", .arguments = "",
                .summary = "show the versions of herokuctl and of the daemon",
                .examples = {"herokuctl version"},
                .flags = COMMAND_LOCAL,
                .run = cmd_version,
        },
        {
                .name = "help", .aliases = {"commands"}, .arguments = "[COMMAND]",
                .summary = "help for a command or a topic",
                .examples = {"herokuctl help ps:scale", "herokuctl help ps"},
                .flags = COMMAND_LOCAL, .max_args = 1, .kind = {ARGUMENT_COMMAND},
                .run = cmd_help,
        },
};
/* clang-format on */

const size_t command_table_size = ARRAY_SIZE(command_table);

const Command *command_find(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(command_table); i++) {
                const Command *c = &command_table[i];

                if (strcmp(c->name, name) == 0)
                        return c;
                for (const char *const *alias = c->aliases; *alias; alias++)
                        if (strcmp(*alias, name) == 0)
                                return c;
        }
        return NULL;
}

bool command_takes(const Command *command, OptionId option) {
        if (option == OPT_APP)
                return (command->flags &
                        (COMMAND_APP | COMMAND_APP_OR_ALL | COMMAND_APP_OPTIONAL)) != 0;
        if (option > OPT_NONE && option <= OPT_FILE_NAME)
                return true;
        for (size_t i = 0; i < COMMAND_OPTIONS_MAX; i++)
                if (command->options[i] == option && option != OPT_NONE)
                        return true;
        return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The control socket: D-Bus, peer to peer (no bus daemon), over a Unix stream socket.
 *
 * One object, one interface. Lists are aa{sv} and facts are a{sv}: keys are only ever
 * added, and a client passes over those that it does not know. Calls that may take long
 * return a job number at once and report by the signals JobProgress and JobDone, which
 * go to the connection that asked. Closing the connection does not end a job, except an
 * import that is still being read from that client.
 */

#define DYNOD_SOCKET_PATH "/run/dynod/control.sock"
#define DYNOD_BUS_PATH "/org/dynod/Manager1"
#define DYNOD_BUS_INTERFACE "org.dynod.Manager1"

/*
 * Methods. "-> u" marks a job, whose JobDone carries the a{sv} result.
 *
 *   Version()                                              -> a{sv}
 *   HostInfo()                                             -> a{sv}
 *   Doctor()                                               -> a{sv}   host, layers aa{sv}, checks aa{sv}, can_start b
 *   ListSizes()                                            -> aa{sv}
 *
 *   ListStacks()                                           -> aa{sv}  name version digest bytes files imported apps
 *   ImportStack(s name, h file, t size, s checksum)        -> u       size 0: unknown; checksum "": any
 *   RemoveStack(s name)                                    -> a{sv}   NAME or NAME@VERSION
 *
 *   ListApps()                                             -> aa{sv}
 *   CreateApp(s app, s stack)                              -> a{sv}   stack "": the only or newest one
 *   AppInfo(s app)                                         -> a{sv}
 *   RenameApp(s app, s new_name)                           -> a{sv}
 *   DestroyApp(s app)                                      -> u
 *   SetStack(s app, s stack)                               -> a{sv}
 *
 *   Deploy(s app, h file, t size, s checksum, a{ss} processes, s file_name) -> u
 *   ListReleases(s app)                                    -> aa{sv}
 *   ReleaseInfo(s app, u release)                          -> a{sv}   0: the current one
 *   Rollback(s app, u release)                             -> u       0: the one before
 *
 *   GetConfig(s app)                                       -> a{ss}
 *   ChangeConfig(s app, a{ss} set, as unset)               -> u
 *
 *   Formation(s app)                                       -> aa{sv}  type quantity size command
 *   Scale(s app, a(sbis) changes)                          -> u       type, relative, quantity, size ("": keep)
 *   ListDynos(s app)                                       -> aa{sv}  app "": all apps
 *   RestartDynos(s app, s target)                          -> u       target: "", TYPE, DYNO
 *   StopDynos(s app, s target)                             -> u       target: TYPE, DYNO
 *   WaitDynos(s app, t timeout_usec)                       -> u
 *   Inspect(s app, s dyno)                                 -> a{sv}   dyno, layers aa{sv}, timing a{sv}, duration_usec t
 *
 *   Network(s app)                                         -> a{sv}   what dynos may reach, and who may reach them
 *   ChangeNetwork(s app, s change, as arguments)           -> a{sv}   as Network, of what is in force now; also
 *                                                            changed b (false: it was so before), text s
 *     change and arguments, as users write them:
 *       "allow", "deny"     TARGET...         NETWORK[:PORT[-PORT]][/tcp|/udp|/icmp]; "any" alone: what no
 *                                             rule fits. A new rule is tried first
 *       "remove"            N|TARGET          a rule
 *       "reset"                               open, no rules
 *       "source"            ADDRESS|"auto"    of the host, for what leaves it
 *       "trust", "distrust" NETWORK...        who may connect to published ports
 *       "publish"           [TYPE] PORT       TYPE: web
 *       "unpublish"         PORT
 *       "add-service"       NAME PORT[/udp]   a port of the host at service_address
 *       "remove-service"    NAME
 *
 *   Run(s app, as command, a{ss} env, s size, b shell, b attached, b tty, q rows, q columns, h attach) -> a{sv}
 *                                                            attach is any descriptor when not attached
 *     Descriptors may be memfds, pipes, Unix sockets and files of a block device: a client that
 *     sends another is dropped, since closing that may take for ever.
 *   Exec(s app, s dyno, as command, a{ss} env, b tty, q rows, q columns, h attach) -> a{sv}
 *
 *   Logs(s app, b follow)                                  -> h       stream of LogRecord; app "": all apps
 *
 * Signals.
 *
 *   JobProgress(u job, a{sv})   phase s: "read", "unpack", "release", "start", "stop"; done t, total t, files t,
 *                               bytes t, text s (what to show, if given)
 *   JobDone(u job, s error, s message, s hint, a{sv} result)   error "": it went well
 *
 * An error of a method call has its hint behind a newline in the message.
 */

/*
 * Facts: the keys of each a{sv}. Times are RFC 3339 in UTC ("2026-11-23T19:22:41Z"), sizes
 * bytes. A fact that is not known or does not apply is left out (JSON: null where the
 * contract lists the key).
 *
 *   dyno      id s, name s, app s, type s, command s, size s, state s, reason s, release u, stack s,
 *             stack_version u, pid u, uid u, address s, port u, since s, crashes u, next_start s,
 *             exit_status u, memory t, memory_limit t, cpu_seconds d, published au (web only);
 *             also cpu_percent d (of one core, over the last half minute), boot_deadline s (starting), last_words s (last line before a crash)
 *   app       name s, stack s, stack_version u, release u (0: none), created s, dynos u, up u;
 *             AppInfo also slug s, slug_bytes t, releases u, formation aa{sv}, firewall s ("open",
 *             "closed"), rules u, source s, trusted u (with restricted), restricted b, services as,
 *             published au
 *   network   app s, firewall s ("open", "closed": what no rule fits), rules aa{sv} (number u, action s
 *             "allow" or "deny", target s, network s, protocol s ("": any), port_first u, port_last u
 *             (0: all), covered_by u (left out: no earlier rule fits all that it fits)), source s (left
 *             out: any), restricted b, trusted as (empty and restricted: nobody), services aa{sv}
 *             (name s, port u, protocol s), service_address s, published au, dynos u (that run),
 *             in_force b, problem s (why it is not in force, or what its dynos lack though it is)
 *   formation type s, quantity u, size s, command s
 *   stack     name s, version u, digest s, bytes t, files t, imported s, apps as
 *   release   release u, app s, description s, user s, created s, current b;
 *             ReleaseInfo also slug s, slug_bytes t, stack s, stack_version u, processes a{sv},
 *             config_keys as
 *   size      name s, memory_quota t, memory_kill t, cpu_weight u, process_limit u, bandwidth t, disk t,
 *             disk_files t, connections u, connection_rate u (0: no limit)
 *   layer     layer s (of a check: check s), ok b, verdict s ("ok", "allowed", "failed"; of a check
 *             also "warning"), detail s, fix s
 *   host      hostname s, os s, kernel s, cores u, memory t, version s, instance s, dynos u, apps u,
 *             memory_promised t, memory_limit t
 *   Doctor    host a{sv}, layers aa{sv}, checks aa{sv}, can_start b, missing as, allowed as
 *   Version   version s
 *
 * Results of the jobs:
 *
 *   ImportStack    stack a{sv}, already b, files t, bytes t, notes as (what was changed, a line each)
 *   Deploy         release u, slug s, already b, files t, bytes t, changed as (types), notes as,
 *                  up u, total u
 *   Rollback       release u, to u, slug s, config as ("REDIS_URL leaves")
 *   ChangeConfig   release u (0: nothing changed)
 *   Scale          formation aa{sv}: all of it; changed as (types)
 *   RestartDynos, StopDynos   dynos as
 *   DestroyApp     dynos u, releases u, slugs u, bytes t, rules u, published u, services u, trusted u (how
 *                  many went)
 *   Run, Exec      dyno s, id s, size s
 *   a failure of Deploy, Rollback or WaitDynos with NotUp: dyno s (the first that is not up),
 *                  code s ("R10", "H10"), up u, total u, release u
 *
 * Progress: phases come in the order read, unpack, release, start. "release" is sent once, when
 * the release is made, and carries release u, slug s, already b, files t, bytes t, changed as,
 * notes as; "start" carries dynos as (their names), done t (up by now), total t.
 *
 * Run: @shell: the words of @command are joined with spaces and given to the shell, the client has
 * quoted them; a process type as first word stands for its command.
 */

#define DYNOD_ERROR_PREFIX "org.dynod.Error."

#define DYNOD_ERROR_FAILED "org.dynod.Error.Failed" /* the system refused: text says what */
#define DYNOD_ERROR_INVALID_ARGUMENT "org.dynod.Error.InvalidArgument"
#define DYNOD_ERROR_INVALID_NAME "org.dynod.Error.InvalidName" /* app, stack, type or config var */
#define DYNOD_ERROR_NO_SUCH_APP "org.dynod.Error.NoSuchApp"
#define DYNOD_ERROR_NO_SUCH_STACK "org.dynod.Error.NoSuchStack"
#define DYNOD_ERROR_NO_SUCH_RELEASE "org.dynod.Error.NoSuchRelease"
#define DYNOD_ERROR_NO_SUCH_TYPE "org.dynod.Error.NoSuchProcessType"
#define DYNOD_ERROR_NO_SUCH_DYNO "org.dynod.Error.NoSuchDyno"
#define DYNOD_ERROR_NO_SUCH_SIZE "org.dynod.Error.NoSuchSize"
#define DYNOD_ERROR_NO_SUCH_CONFIG "org.dynod.Error.NoSuchConfigVar"
#define DYNOD_ERROR_NO_SUCH_RULE                                                                   \
        "org.dynod.Error.NoSuchRule" /* of the firewall, or trusted range */
#define DYNOD_ERROR_NO_SUCH_SERVICE "org.dynod.Error.NoSuchService"
#define DYNOD_ERROR_NO_SUCH_PORT "org.dynod.Error.NoSuchPort" /* is not published */
#define DYNOD_ERROR_EXISTS "org.dynod.Error.Exists"
#define DYNOD_ERROR_IN_USE "org.dynod.Error.InUse"
#define DYNOD_ERROR_NO_RELEASE "org.dynod.Error.NoRelease"   /* nothing was deployed yet */
#define DYNOD_ERROR_NO_STACK "org.dynod.Error.NoStack"       /* no stack was imported yet */
#define DYNOD_ERROR_BAD_ARCHIVE "org.dynod.Error.BadArchive" /* refused, corrupt, not one */
#define DYNOD_ERROR_BAD_CHECKSUM "org.dynod.Error.BadChecksum"
#define DYNOD_ERROR_BAD_PROCFILE "org.dynod.Error.BadProcfile"
#define DYNOD_ERROR_NO_PROCESS_TYPES "org.dynod.Error.NoProcessTypes"
#define DYNOD_ERROR_NO_ROOM "org.dynod.Error.NoRoom"     /* disk full */
#define DYNOD_ERROR_NO_MEMORY "org.dynod.Error.NoMemory" /* memory_overcommit */
#define DYNOD_ERROR_LAYER_MISSING                                                                  \
        "org.dynod.Error.LayerMissing"             /* fail closed: the text names it */
#define DYNOD_ERROR_NOT_UP "org.dynod.Error.NotUp" /* dynos did not come up */
#define DYNOD_ERROR_TIMED_OUT "org.dynod.Error.TimedOut"
#define DYNOD_ERROR_LIMIT "org.dynod.Error.LimitExceeded" /* of what one uid may use */
#define DYNOD_ERROR_CANCELLED "org.dynod.Error.Cancelled"
#define DYNOD_ERROR_NOT_PERMITTED "org.dynod.Error.NotPermitted"

/* Made by the client itself, never sent. */
#define DYNOD_ERROR_UNREACHABLE "org.dynod.Error.Unreachable"
#define DYNOD_ERROR_USAGE "org.dynod.Error.Usage"

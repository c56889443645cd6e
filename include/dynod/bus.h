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
 *   Inspect(s app, s dyno)                                 -> a{sv}   dyno, layers aa{sv}, timing a{su}, duration_usec
 *
 *   Run(s app, as command, a{ss} env, s size, b shell, b attached, b tty, q rows, q columns, h attach) -> a{sv}
 *                                                            attach is any descriptor when not attached
 *   Exec(s app, s dyno, as command, a{ss} env, b tty, q rows, q columns, h attach) -> a{sv}
 *
 *   Logs(s app, b follow)                                  -> h       stream of LogRecord; app "": all apps
 *
 * Signals.
 *
 *   JobProgress(u job, a{sv})   phase s: "read", "unpack", "start", "stop"; done t, total t, files t,
 *                               bytes t, text s (what to show, if given)
 *   JobDone(u job, s error, s message, s hint, a{sv} result)   error "": it went well
 *
 * An error of a method call has its hint behind a newline in the message.
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

/**
 * The bounds of everything that a peer can make grow. Runs in: monitor, worker.
 * Each name carries its unit; each line says why it is that much.
 */

/** Window that we announce per channel: fills a 10 ms path at 200 MB/s; OpenSSH announces the same. */
export const channelWindowBytes = 2 * 1024 * 1024;
/** Largest data message that we announce and send: what OpenSSH announces. */
export const channelMaxPacketBytes = 32 * 1024;
/** The window is given back in steps of this size (OpenSSH: three packets). */
export const channelWindowStepBytes = 96 * 1024;
/** Channels of one connection, those being opened included (OpenSSH stops at 10,000 too). */
export const channelsPerConnection = 10_000;
/** Requests of one channel that wait while an earlier one is being handled, and their size. */
export const channelQueuedRequests = 4096;
export const channelQueuedRequestBytes = 1024 * 1024;
/** Global requests that wait while an earlier one is being handled. */
export const globalQueuedRequests = 1024;
/** Replies that may pile up for a peer that does not read, before its own packets are left unread. */
export const congestedReplyBytes = 256 * 1024;
/** From one source in one turn of the loop; then the others have theirs. */
export const sourceTurnBytes = 64 * 1024;

/** The longest delay of a timer in Node: 24.8 days. A longer one would be over at once. */
export const longestTimerMs = 2 ** 31 - 1;

/** What an SFTP server may have been given and not answered: OpenSSH's client has 2 MiB on the way. */
export const sftpBehindBytes = 2 * 1024 * 1024;
/** The same in requests: more than any client reads ahead. */
export const sftpBehindRequests = 4096;
/** Beyond this it is no SFTP: Debian's sftp-server ends at 256 KiB. */
export const sftpPacketBytes = 512 * 1024;

/** After a shell on a terminal has exited: how often its terminal is looked at for more output. */
export const sessionDrainPollMs = 20;
export const sessionDrainPolls = 100;
/** After a channel has closed: how long its last bytes may take to reach a slow reader. */
export const flushAfterCloseMs = 5000;

/** Connections at a time to a forwarded agent: ansible and the like ask from many processes at once. */
export const agentConnections = 256;
/** Connections at a time to a forwarded display: an X server takes 256 clients by default. */
export const x11Connections = 256;

/** Who connects to a forwarded display must have said who it is by then: an X client does at once. */
export const admissionMs = 30_000;

/** SERVICE_REQUESTs of one connection: one is enough, some libraries ask before each method. */
export const serviceRequests = 64;
/** USERAUTH_REQUESTs that wait for the answer to an earlier one, and their size. */
export const queuedAuthRequests = 64;
export const queuedAuthRequestBytes = 256 * 1024;
/** A password, a keyboard-interactive answer (OpenSSH: PAM_MAX_RESP_SIZE 512, a password 1024). */
export const passwordBytes = 1024;
/** A user name; longer ones exist nowhere, and every lookup of one costs. */
export const userNameBytes = 1024;
/** Answers of one INFO_RESPONSE: as many as PAM can ask in one message batch. */
export const keyboardInteractiveAnswers = 256;

/** Of one USERAUTH_REQUEST; sshd takes any number, and looks at each. */
export const gssapiMechanisms = 64;
/** A ticket with many groups of a Windows domain has some 48 KiB. */
export const gssapiTokenBytes = 64 * 1024;

/** Names and paths of forwarding; a host name has 255 bytes at most, a Unix socket's path 107. */
export const forwardNameBytes = 1024;
/** Opens of one connection that ask for a socket at the same time; more wait for their turn. */
export const forwardsInProgress = 96;
/** Until a destination has answered, all of its addresses together. */
export const forwardConnectMs = 60_000;
/** Listeners of one connection (tcpip-forward and streamlocal-forward). */
export const listenersPerConnection = 256;

/** From the end of a login to that of its leader: modules of PAM unmount homes and wait for networks. */
export const leaderEndMs = 60_000;

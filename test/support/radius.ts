/**
 * FreeRADIUS on the loopback of the lab, as one-time codes are set up with it. Runs in: test, in the
 * lab.
 *
 * `ruser`: the password `wikid` is answered with a challenge, which wants a one-time code.
 * `double`: is challenged at once, whatever it has for a password.
 * `single`: the PIN 9999 with the code behind it, in one answer.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { eventually } from './child.ts';
import { checkout } from './lab.ts';
import { base32 } from './one-time-code.ts';

const folder = path.join(checkout, 'node_modules/.sshdesk-radius');
const program = path.join(folder, 'usr/sbin/freeradius');
const sharedSecret = 'shared-by-both';

/** Why there is none on this machine; undefined: there is. */
export function noRadius(): string | undefined {
  return existsSync(program) ? undefined : 'no FreeRADIUS, which ./setup --test fetches';
}

function places(name: string): readonly string[] {
  return ['usr/lib', 'lib'].flatMap((library) => {
    const base = path.join(folder, library);
    const found = existsSync(base) ? readdirSync(base) : [];
    return found
      .filter((entry) => entry === name || entry.endsWith('-linux-gnu'))
      .map((entry) => path.join(base, entry));
  });
}

/** Debian's module, which is not installed. */
export function radiusModule(): string {
  const found = places('')
    .map((place) => path.join(place, 'security/pam_radius_auth.so'))
    .find((file) => existsSync(file));
  if (found === undefined) {
    throw new Error('no pam_radius_auth.so');
  }
  return found;
}

/** A line of PAM's for a server at `port`, which is waited for `seconds`. */
export function radiusLine(control: string, port: number, seconds: number, more = ''): string {
  const file = path.join(mkdtempSync('/tmp/radius-client-'), 'servers');
  writeFileSync(file, `127.0.0.1:${port} ${sharedSecret} ${seconds}\n`, { mode: 0o600 });
  return `auth ${control} ${radiusModule()} conf=${file} ${more}`.trimEnd();
}

export class Radius {
  readonly port: number;
  readonly #log: string;
  readonly #process: ChildProcess;

  private constructor(port: number, log: string, child: ChildProcess) {
    this.port = port;
    this.#log = log;
    this.#process = child;
  }

  static async start(secret: Buffer, port = 1812): Promise<Radius> {
    const place = mkdtempSync('/tmp/radius-');
    const log = path.join(place, 'log');
    const libraries = path.join(folder, 'usr/lib/freeradius');
    writeFileSync(
      path.join(place, 'radiusd.conf'),
      `prefix = ${folder}/usr
libdir = ${libraries}
logdir = ${place}
run_dir = ${place}
max_request_time = 10
security {
  max_attributes = 200
  reject_delay = 0
  allow_vulnerable_openssl = yes
}
log {
  destination = files
  file = ${log}
  auth = yes
}
client loopback {
  ipaddr = 127.0.0.1
  secret = ${sharedSecret}
  require_message_authenticator = no
}
modules {
  totp {
  }
}
server default {
  listen {
    type = auth
    ipaddr = 127.0.0.1
    port = ${port}
  }
  authorize {
    if (&State) {
      update control { TOTP-Secret := "${base32(secret)}" }
      update request { TOTP-Password := "%{User-Password}" }
      update control { Auth-Type := totp }
    }
    elsif (&User-Name == "ruser" && &User-Password == "wikid") {
      update reply {
        Reply-Message := "Enter one-time code: "
        State := 0x6c6162
      }
      update control {
        Auth-Type := Accept
        Response-Packet-Type := Access-Challenge
      }
    }
    elsif (&User-Name == "double") {
      update reply {
        Reply-Message := "Enter one-time code: "
        State := 0x6c6162
      }
      update control {
        Auth-Type := Accept
        Response-Packet-Type := Access-Challenge
      }
    }
    elsif (&User-Name == "single" && &User-Password =~ /^9999([0-9]{6})$/) {
      update control { TOTP-Secret := "${base32(secret)}" }
      update request { TOTP-Password := "%{1}" }
      update control { Auth-Type := totp }
    }
    else {
      update control { Auth-Type := Reject }
    }
  }
  authenticate {
    Auth-Type totp {
      totp
    }
  }
}
`,
    );
    writeFileSync(log, '');
    const child = spawn(
      program,
      ['-f', '-d', place, '-D', path.join(folder, 'usr/share/freeradius'), '-n', 'radiusd'],
      {
        env: { PATH: '/usr/bin:/bin', LD_LIBRARY_PATH: places('freeradius').join(':') },
        stdio: 'ignore',
      },
    );
    const radius = new Radius(port, log, child);
    await eventually('FreeRADIUS answers', () =>
      radius.log().includes('Ready to process requests'),
    );
    return radius;
  }

  log(): string {
    return readFileSync(this.#log, 'utf8');
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = new Promise((resolve) => this.#process.once('exit', resolve));
      this.#process.kill('SIGKILL');
      await ended;
    }
  }
}

/**
 * Between a client and the server: answers come `delayMs` later, as from somebody who first has to
 * take the telephone out. `requests`: how many were passed on, resent ones counted once.
 */
export class SlowLine {
  readonly #socket: Socket = createSocket('udp4');
  readonly #seen = new Set<string>();
  readonly #behind = new Set<Socket>();

  get requests(): number {
    return this.#seen.size;
  }
  get port(): number {
    return this.#socket.address().port;
  }

  static async open(to: number, delayMs: number): Promise<SlowLine> {
    const line = new SlowLine();
    line.#socket.on('message', (request, from) => {
      const name = `${from.port} ${request.toString('hex')}`;
      if (line.#seen.has(name)) {
        return;
      }
      line.#seen.add(name);
      const behind = createSocket('udp4');
      line.#behind.add(behind);
      behind.on('message', (answer) => {
        setTimeout(() => {
          // The test may be over by then.
          if (line.#behind.has(behind)) {
            line.#socket.send(answer, from.port, from.address);
          }
        }, delayMs).unref();
      });
      behind.send(request, to, '127.0.0.1');
    });
    await new Promise<void>((resolve) => line.#socket.bind(0, '127.0.0.1', resolve));
    return line;
  }

  close(): void {
    for (const behind of this.#behind) {
      behind.close();
    }
    this.#behind.clear();
    this.#socket.close();
  }
}

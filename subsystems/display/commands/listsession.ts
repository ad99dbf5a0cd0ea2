/** `listsession`: the user's own desktops as the table that clients parse by column. Pure. */
import { brokerLimits } from '../../../src/broker/limits.ts';
import { type Command, prompt } from '../command.ts';
import type { Desktop } from '../desktops.ts';
import { displayEngines } from '../engines/index.ts';
import type { Parameters } from '../parameters.ts';
import { failureLines } from '../replies.ts';

const titles =
  'Display Type             Session ID                       Options  Depth Screen         Status      Session Name';
const dashes =
  '------- ---------------- -------------------------------- -------- ----- -------------- ----------- ------------------------------';
/** Render, desktop or windows alone, persistent, shared, and the last one that every server sets. */
function optionsOf({ rootless }: Desktop): string {
  return `-R${rootless ? '-' : 'D'}--PSA`;
}
/** Depths that clients resume from are 8, 16 and 24. */
const deepestShown = 24;

/** Undefined: not shown. A desktop that comes up is waited for when it is asked for. */
function statusOf({ state }: Desktop): string | undefined {
  const words: Readonly<Record<string, string>> = {
    starting: 'Running',
    running: 'Running',
    detached: 'Suspended',
  };
  return Object.hasOwn(words, state) ? words[state] : undefined;
}

function rowOf(desktop: Desktop, status: string): string {
  return [
    String(desktop.display).padEnd(7),
    desktop.type.padEnd(16),
    desktop.id.padStart(32),
    optionsOf(desktop).padStart(8),
    String(Math.min(desktop.depth, deepestShown)).padStart(5),
    `${desktop.width}x${desktop.height}`.padEnd(14),
    status.padEnd(11),
    desktop.name,
  ].join(' ');
}

const synonyms: Readonly<Record<string, string>> = {
  disconnected: 'suspended',
  connected: 'running',
};

/** It is there, and cannot be resumed by what the client speaks. */
const ofAnother = 'N/A';

function isSpoken(protocol: string, { engine }: Desktop): boolean {
  return Object.hasOwn(displayEngines, protocol) && displayEngines[protocol]?.name === engine;
}

/** Undefined: all. */
function wantedStatus(parameters: Parameters): ReadonlySet<string> | undefined {
  const text = parameters.get('status');
  if (text === undefined || text.trim() === '') {
    return undefined;
  }
  const words = text.toLowerCase().split(/[\s,]+/);
  return new Set(words.map((word) => synonyms[word] ?? word));
}

export const listsession: Command = {
  verb: 'listsession',
  phases: ['ready', 'session'],
  takesParameters: true,
  async run({ desktops, defaultProtocol }, parameters) {
    const listed = await desktops.list();
    if (listed.is === 'failed') {
      return prompt(failureLines(listed, desktops.user, ''));
    }
    const wanted = wantedStatus(parameters);
    const protocol = (parameters.get('protocol') ?? defaultProtocol).toLowerCase();
    // Sessions of others that may be shadowed: none yet.
    const shown = parameters.get('type')?.toLowerCase() === 'shadow' ? [] : listed.value;
    const rows = shown.flatMap((desktop) => {
      const status = statusOf(desktop);
      const isWanted = status !== undefined && (wanted?.has(status.toLowerCase()) ?? true);
      return isWanted ? [rowOf(desktop, isSpoken(protocol, desktop) ? status : ofAnother)] : [];
    });
    const isFull = listed.value.length >= brokerLimits.desktopsPerUser;
    return prompt([
      'NX> 127 Available sessions: ',
      '',
      titles,
      dashes,
      ...rows,
      '',
      isFull
        ? `NX> 147 Server capacity: reached for user: ${desktops.user}`
        : `NX> 148 Server capacity: not reached for user: ${desktops.user}`,
    ]);
  },
};

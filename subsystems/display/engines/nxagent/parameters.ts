/**
 * What a client of NX may ask of nxagent: each name with the values that it may have. A comma, an equals
 * sign, a colon or a line end in a value would begin another option, so nothing passes that is not in
 * this table. Pure.
 */
import type { EngineParameters, ParametersOutcome } from '../../../../src/broker/engine.ts';

const flag = /^[01]$/;
const memory = /^\d{1,4}[KM]$/i;

/** By the name on the wire, in lower case. What is not here is passed over, as old servers do. */
const allowed: Readonly<Record<string, RegExp>> = {
  link: /^(?:modem|isdn|adsl|wan|lan|local)$/i,
  cache: memory,
  images: memory,
  imagecompressionmethod: /^(?:-1|[0-4])$/,
  imagecompressionlevel: /^(?:-1|\d)$/,
  keyboard: /^(?:query|clone|null\/null|[a-z0-9_-]{1,32}\/[a-z0-9_-]{1,32})$/i,
  geometry: /^\d{1,5}x\d{1,5}(?:[+-]\d{1,5}){0,2}$|^fullscreen$/i,
  fullscreen: flag,
  resize: flag,
  clipboard: /^(?:both|client|server|none)$/i,
  client: /^(?:linux|winnt|win9x|windows|macosx|solaris)$/i,
  rootless: flag,
  virtualdesktop: flag,
  render: flag,
  backingstore: /^(?:[01]|never|when_requested|always)$/i,
  composite: flag,
  shmem: flag,
  shpix: flag,
  streaming: flag,
  nodelay: flag,
  defer: /^[0-2]$/,
};
/** A command line of the user's own: never part of an option. */
const maxApplicationBytes = 2048;

/** What only has a meaning as it was at the start. */
const ofTheStart: ReadonlySet<string> = new Set(['rootless', 'virtualdesktop', 'application']);
/** Clients send nonsense there, and take what comes. */
const lenient: ReadonlySet<string> = new Set(['geometry', 'keyboard', 'cache', 'images', 'client']);

function applicationOf(text: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  const isPlain = !/[\u0000-\u001f\u007f]/.test(text) && text.trim() !== '';
  return isPlain && Buffer.byteLength(text) <= maxApplicationBytes ? text : undefined;
}

export function readParameters(
  given: EngineParameters,
  type: string,
  before?: EngineParameters,
): ParametersOutcome {
  const taken = new Map(before);
  for (const [name, value] of given) {
    if (before !== undefined && ofTheStart.has(name)) {
      continue;
    }
    if (name === 'application') {
      const application = applicationOf(value);
      if (application === undefined) {
        return { is: 'refused', why: 'This application cannot be started.' };
      }
      taken.set(name, application);
      continue;
    }
    const pattern = Object.hasOwn(allowed, name) ? allowed[name] : undefined;
    if (pattern?.test(value)) {
      taken.set(name, value.toLowerCase());
    } else if (pattern !== undefined && !lenient.has(name)) {
      return { is: 'refused', why: `Parameter ${name} has a value that is not allowed.` };
    }
  }
  if (type === 'unix-application' && !taken.has('application')) {
    return { is: 'refused', why: 'Session type unix-application needs an application.' };
  }
  return { is: 'taken', parameters: taken };
}

/** Windows of their own on the client's screen, without a desktop around them. */
export function isRootless(type: string, parameters: EngineParameters): boolean {
  const said = parameters.get('rootless');
  if (type !== 'unix-application' && type !== 'unix-console') {
    return false;
  }
  return said === undefined ? parameters.get('virtualdesktop') !== '1' : said === '1';
}

/** `pack=` for what clients call the method and level of image compression. */
function packOf(parameters: EngineParameters): string | undefined {
  const level = Number(parameters.get('imagecompressionlevel') ?? -1);
  const quality = level < 0 ? 9 : level;
  const packs: Readonly<Record<string, string>> = {
    0: 'nopack',
    1: `16m-jpeg-${quality}`,
    2: '16m-png-9',
    3: 'lossless',
    4: 'adaptive',
  };
  return packs[parameters.get('imagecompressionmethod') ?? ''];
}

const backingStores: Readonly<Record<string, string>> = {
  never: '0',
  when_requested: '1',
  always: '1',
};

/** Those that go into the options as they are. */
const passedOn = [
  ...['cache', 'images', 'keyboard', 'fullscreen', 'resize', 'client', 'render', 'composite'],
  ...['shmem', 'shpix', 'streaming', 'defer'],
] as const;

/** `name=value` for the options of nxagent, of nothing but what the table above let through. */
export function optionsOf(parameters: EngineParameters): readonly string[] {
  const options = [`link=${parameters.get('link') ?? 'lan'}`];
  const pack = packOf(parameters);
  if (pack !== undefined) {
    options.push(`pack=${pack}`);
  }
  for (const name of passedOn) {
    const value = parameters.get(name);
    if (value !== undefined) {
      options.push(`${name}=${/^\d+[km]$/.test(value) ? value.toUpperCase() : value}`);
    }
  }
  const backing = parameters.get('backingstore');
  if (backing !== undefined) {
    options.push(`backingstore=${backingStores[backing] ?? backing}`);
  }
  options.push(`nodelay=${parameters.get('nodelay') ?? '1'}`);
  options.push(`clipboard=${parameters.get('clipboard') ?? 'both'}`);
  return options;
}

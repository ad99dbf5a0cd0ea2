/** The configuration and the host as the checks of `sshdesk doctor` find them. Runs in: user. */
import { cpus, hostname } from 'node:os';
import { ConfigError } from '../../base/errors.ts';
import { systemSource } from '../../policy/config-source.ts';
import { ConfigFailure } from '../../policy/failure.ts';
import {
  defaultDesktopFile,
  defaultServerFile,
  loadConfig,
  loadDesktopConfig,
} from '../../policy/load.ts';
import { placesFor } from '../../process/places.ts';
import type { Configuration, Surroundings } from './check.ts';

export interface Wanted {
  readonly configFile: string | undefined;
  readonly desktopConfigFile: string | undefined;
  readonly options: readonly string[];
}

async function load(wanted: Wanted): Promise<Configuration> {
  const source = systemSource();
  const server = await loadConfig({
    file: wanted.configFile ?? defaultServerFile,
    commandLine: wanted.options,
    source,
  });
  const desktop = loadDesktopConfig({
    file: wanted.desktopConfigFile ?? defaultDesktopFile,
    isFileRequired: wanted.desktopConfigFile !== undefined,
    cores: cpus().length,
    source,
  });
  return {
    config: server.config,
    desktopConfig: desktop.config,
    notices: [...server.notices, ...desktop.notices],
  };
}

export function surroundingsOf(
  configuration: Configuration | null,
  problems: readonly string[] = [],
): Surroundings {
  const isRoot = process.getuid?.() === 0;
  return {
    isRoot,
    configuration,
    problems,
    places: placesFor(isRoot, process.env),
    hostName: hostname(),
    environment: process.env,
  };
}

export async function lookAround(wanted: Wanted): Promise<Surroundings> {
  try {
    return surroundingsOf(await load(wanted));
  } catch (error) {
    if (error instanceof ConfigFailure) return surroundingsOf(null, error.lines);
    if (error instanceof ConfigError) return surroundingsOf(null, error.detail.split('\n'));
    throw error;
  }
}

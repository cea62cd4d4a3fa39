import { fileURLToPath } from 'node:url'

const program = (name: string, packageEntry: string): string => fileURLToPath(new URL(`bin/${name}.js`, packageEntry))

/** The programs as users run them: files that `process.execPath` takes. */
export const PROGRAMS = {
  'kms-node': program('kms-node', import.meta.resolve('@tkms/kms-node')),
  'kms-combiner': program('kms-combiner', import.meta.resolve('@tkms/kms-node')),
  tkms: program('tkms', import.meta.resolve('@tkms/kms-client')),
} as const

import manifest from '../package.json' with { type: 'json' }

/** Version of this package, as its manifest has it. */
export const VERSION: string = manifest.version

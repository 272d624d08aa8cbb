import { z } from 'zod';

const token = z
  .strictObject({
    name: z
      .string()
      .regex(/^[\w.@-]{1,64}$/, 'must be 1 to 64 letters, digits, dots, hyphens, underscores or @')
      .describe('The principal: sessions belong to the name, not to the token, which may change.'),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/i, 'must be 64 hexadecimal digits')
      .optional()
      .describe('SHA-256 of the token.'),
    value: z
      .string()
      .min(16, 'must have 16 characters or more')
      .optional()
      .describe('The token, from a ${VARIABLE}.'),
    file: z.string().optional().describe('A file that holds the token.'),
    admin: z.boolean().default(false).describe('May see and change the sessions of everybody.'),
  })
  .refine(
    ({ sha256, value, file }) => [sha256, value, file].filter((one) => one !== undefined).length === 1,
    'must have exactly one of "sha256", "value" and "file"',
  );

const jwt = z.strictObject({
  issuer: z.string().describe('Who issues the tokens; must equal their "iss".'),
  audience: z.string().describe('For whom they are issued; must be in their "aud".'),
  jwks: z.string().describe("The issuer's public keys: a URL or a file."),
  adminSubjects: z
    .array(z.string())
    .default([])
    .describe('Subjects that may see and change the sessions of everybody.'),
});

/** `auth` of the config file. */
export const authSchema = z.strictObject({
  tokens: z.array(token).default([]).describe('Bearer tokens and the principals they stand for.'),
  jwt: jwt.optional().describe('Bearer tokens of an OAuth issuer.'),
  trustedHeader: z
    .string()
    .optional()
    .describe(
      'A header in which a proxy in front names the caller. Only where nobody else can reach this one.',
    ),
});

export type AuthConfig = z.output<typeof authSchema>;
export type TokenConfig = z.output<typeof token>;
export type JwtConfig = z.output<typeof jwt>;

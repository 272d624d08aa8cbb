import { isFields, type Fields } from './messages.js';

/**
 * A result as clients of 2024-11-05 to 2025-11-25 can read it. What such a client would refuse is put into a form it
 * takes; all else stays as it is, whatever server it comes from.
 */
export function toLegacyResult(method: string, result: Fields): Fields {
  const { resultType, ...rest } = result;
  const legacy = resultType === 'complete' ? rest : result;
  const { structuredContent: content, tools } = legacy;
  if (method === 'tools/call' && content !== undefined && !isFields(content))
    return { ...legacy, structuredContent: { result: content } };
  if (method === 'tools/list' && Array.isArray(tools))
    return { ...legacy, tools: tools.map((tool: unknown) => (isFields(tool) ? toLegacyTool(tool) : tool)) };
  return legacy;
}

/** Types of JSON whose values are no objects. */
const PLAIN_TYPES = new Set<unknown>(['array', 'string', 'number', 'integer', 'boolean', 'null']);

/**
 * 2025-11-25, tools: the root of `outputSchema` is an object. Another one is wrapped as its results are; where the
 * schema does not say plainly what its root is, or points into itself, it is left out, since it is a mere promise.
 */
function toLegacyTool(tool: Fields): Fields {
  const { outputSchema, ...rest } = tool;
  if (outputSchema === undefined || (isFields(outputSchema) && outputSchema.type === 'object')) return tool;
  const plain = isFields(outputSchema) && PLAIN_TYPES.has(outputSchema.type);
  if (!plain || JSON.stringify(outputSchema).includes('"$ref"')) return rest;
  const wrapped = { type: 'object', properties: { result: outputSchema }, required: ['result'] };
  return { ...rest, outputSchema: wrapped };
}

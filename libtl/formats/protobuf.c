#include "formats/protobuf.h"

tl__message tl__message_of(tl__slice bytes) {
    const uint8_t *data = (const uint8_t *)bytes.text;
    return (tl__message){.at = data, .end = bytes.length ? data + bytes.length : data};
}

static bool broken(tl__message *message) {
    message->broken = true;
    message->at = message->end;
    return false;
}

bool tl__message_varint(tl__message *message, uint64_t *value) {
    uint64_t result = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (message->at == message->end)
            return broken(message);
        uint8_t byte = *message->at++;
        if (shift == 63 && byte > 1)
            return broken(message);
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *value = result;
            return true;
        }
    }
    return broken(message);
}

static bool take(tl__message *message, uint64_t length, tl__slice *bytes) {
    if (length > (uint64_t)(message->end - message->at))
        return broken(message);
    *bytes = (tl__slice){(const char *)message->at, (size_t)length};
    message->at += length;
    return true;
}

bool tl__message_next(tl__message *message, tl__field *field) {
    uint64_t key, length;
    if (message->at == message->end)
        return false;
    if (!tl__message_varint(message, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX)
        return broken(message);
    *field = (tl__field){.number = (uint32_t)(key >> 3), .wire = (tl__wire)(key & 7)};
    switch (field->wire) {
    case TL__WIRE_VARINT: return tl__message_varint(message, &field->value);
    case TL__WIRE_FIXED64: return take(message, 8, &field->bytes);
    case TL__WIRE_FIXED32: return take(message, 4, &field->bytes);
    case TL__WIRE_BYTES: return tl__message_varint(message, &length) && take(message, length, &field->bytes);
    default: return broken(message);
    }
}

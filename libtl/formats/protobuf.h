/* formats/protobuf.h: walking over the fields of a protobuf message in memory. */
#ifndef TL__PROTOBUF_H
#define TL__PROTOBUF_H

#include "formats/reader.h"

typedef struct tl__message {
    const uint8_t *at, *end;
    bool broken; /* set when the bytes make no sense; then there are no more fields */
} tl__message;

typedef enum tl__wire { TL__WIRE_VARINT = 0, TL__WIRE_FIXED64 = 1, TL__WIRE_BYTES = 2, TL__WIRE_FIXED32 = 5 } tl__wire;

typedef struct tl__field {
    uint32_t number;
    tl__wire wire;
    uint64_t value;   /* of VARINT */
    tl__slice bytes;  /* of BYTES, and the 4 or 8 of the fixed ones */
} tl__field;

tl__message tl__message_of(tl__slice bytes);
bool tl__message_next(tl__message *message, tl__field *field);
bool tl__message_varint(tl__message *message, uint64_t *value); /* of a packed field */

#endif

/* elementwise.cl: relu, relu_grad and add: a work-item takes FLAT elements. */
#define FLAT_LOOP                                                     \
    long first = (long)get_global_id(0) * FLAT;                        \
    int size = (int)clamp(count - first, 0L, (long)FLAT);              \
    for (int i = 0; i < size; i += WIDE)

kernel void relu(ARG(stored_in, x), ARG(stored_out, y), long count) {
    AT(x);
    AT(y);
    FLAT_LOOP {
        store_out(relu_of_wide(load_in(x + first + i, size - i)), y + first + i, size - i);
    }
}

kernel void relu_grad(ARG(float, dy), ARG(float, y), ARG(float, dx), long count) {
    AT(dy);
    AT(y);
    AT(dx);
    FLAT_LOOP {
        wide mask = load_some(y + first + i, size - i), gradient = load_some(dy + first + i, size - i);
        store_some(keep(mask > 0.0f, gradient), dx + first + i, size - i);
    }
}

kernel void add(ARG(stored_in, a), ARG(stored_in, b), ARG(stored_out, y), int relu, long count) {
    AT(a);
    AT(b);
    AT(y);
    FLAT_LOOP {
        wide sum = load_in(a + first + i, size - i) + load_in(b + first + i, size - i);
        store_out(relu ? relu_of_wide(sum) : sum, y + first + i, size - i);
    }
}

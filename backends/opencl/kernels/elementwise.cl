/* elementwise.cl: relu, relu_grad and add: a work-item takes WIDE elements. */
kernel void relu(ARG(float, x), ARG(float, y), long count) {
    AT(x);
    AT(y);
    long i = (long)get_global_id(0) * WIDE;
    store_some(relu_of_wide(load_some(x + i, count - i)), y + i, count - i);
}

kernel void relu_grad(ARG(float, dy), ARG(float, y), ARG(float, dx), long count) {
    AT(dy);
    AT(y);
    AT(dx);
    long i = (long)get_global_id(0) * WIDE;
    store_some(keep(load_some(y + i, count - i) > 0.0f, load_some(dy + i, count - i)), dx + i, count - i);
}

kernel void add(ARG(float, a), ARG(float, b), ARG(float, y), int relu, long count) {
    AT(a);
    AT(b);
    AT(y);
    long i = (long)get_global_id(0) * WIDE;
    wide sum = load_some(a + i, count - i) + load_some(b + i, count - i);
    store_some(relu ? relu_of_wide(sum) : sum, y + i, count - i);
}

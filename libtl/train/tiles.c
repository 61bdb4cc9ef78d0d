#include "train/tiles.h"

tl__tiles tl__tiles_of(int extent, int side, double overlap) {
    side = (side + TL__TILE_GRID - 1) / TL__TILE_GRID * TL__TILE_GRID;
    if (extent <= side)
        return (tl__tiles){extent, extent, extent, 1};
    int step = (int)(side * (1 - overlap)) / TL__TILE_GRID * TL__TILE_GRID;
    step = step > TL__TILE_GRID ? step : TL__TILE_GRID;
    return (tl__tiles){extent, side, step, 1 + (extent - side + step - 1) / step};
}

int tl__tile_begin(const tl__tiles *tiles, int index) {
    return index < tiles->count - 1 ? index * tiles->step : tiles->extent - tiles->side;
}

int tl__tile_core(const tl__tiles *tiles, int index) {
    if (index == 0 || index == tiles->count)
        return index ? tiles->extent : 0;
    return (tl__tile_begin(tiles, index) + tl__tile_begin(tiles, index - 1) + tiles->side) / 2;
}

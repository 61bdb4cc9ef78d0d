/* train/tiles.h: overlapping tiles that cover an image, and which part of each counts.
 *
 * Along each side tiles begin a whole step apart, the last one where the image ends. Two that overlap share their
 * pixels at the middle of the overlap, so that what is taken of a tile is away from its edges, where the network saw
 * less of the surroundings. A network whose output at a pixel depends on no pixel farther away than half the overlap
 * gives of tiles what it gives of the whole. */
#ifndef TL__TILES_H
#define TL__TILES_H

#include <tl/context.h>

/* Sides and steps are multiples of it, the coarsest stride of a network: a tile's maps then lie on those of the whole. */
#define TL__TILE_GRID 32
#define TL__TILE_OVERLAP 0.25 /* of a tile's side, where nobody says */

/* One side. */
typedef struct tl__tiles {
    int extent, side, step, count;
} tl__tiles;

/* Tiles of up to `side` pixels that overlap by at least `overlap` (0 .. 0.75) of that; one where the image is no
 * longer. */
tl__tiles tl__tiles_of(int extent, int side, double overlap);
int tl__tile_begin(const tl__tiles *tiles, int index);
/* Where what counts of it begins; that of the tile before ends there, and of tile `count` it is the image's end. */
int tl__tile_core(const tl__tiles *tiles, int index);

#endif

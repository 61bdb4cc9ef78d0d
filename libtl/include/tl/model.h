/* tl/model.h: pretrained networks: their parameters, weights in and out. */
#ifndef TL_MODEL_H
#define TL_MODEL_H

#include <tl/context.h>
#include <tl/device.h>
#include <tl/image.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tl_model tl_model;

typedef enum tl_head {
    TL_HEAD_NATIVE = 0, /* the network's own: fc of ResNets, the three-layer classifier of VGGs */
    TL_HEAD_LINEAR = 1, /* global average pooling and one linear layer "fc": for trunks without their classifier */
    /* Segmentation: a class for every pixel, logits of the image's size. Parameters are "backbone.*", the trunk's, then
     * "classifier.*" and, for fcn and deeplabv3 on ResNets, "aux_classifier.*": torchvision's names. */
    TL_HEAD_FCN = 2,       /* Long et al. 2015. ResNets: torchvision's fcn_*; VGGs: FCN-32s, 16s, 8s by output_stride */
    TL_HEAD_DEEPLABV3 = 3, /* Chen et al. 2017, atrous spatial pyramid pooling: torchvision's deeplabv3_*; ResNets */
    TL_HEAD_LITE = 4,      /* 1x1 convolutions on the last two maps, the deeper one upsampled and added: trains in seconds */
} tl_head;

/* How values of the frozen part of a network are stored between its operations; arithmetic is in 32 bits, and what
 * comes out of that part is FP32 again. A device that does not offer it refuses.
 *
 * INT8: in 8 bits, each value (the map that an operation makes) with a step and a zero of its own, and weights with a step
 * for each output channel. The steps come from the ranges that up to 64 images, spread over those that are learned from,
 * have in FP32 (a trainer that is given batches: the first one): the same images give the same steps. What has no
 * implementation for it (batch-norms that are not folded, groups, a segmenter's upsampling) is TL_UNSUPPORTED. */
typedef enum tl_precision {
    TL_PRECISION_FP32 = 0,
    TL_PRECISION_BF16 = 1,
    TL_PRECISION_FP16 = 2,
    TL_PRECISION_INT8 = 3,
} tl_precision;

typedef struct tl_model_options {
    size_t size;
    const char *arch;    /* "resnet50", ...: tl_arch_name lists them */
    int classes;         /* outputs of the head, >= 1, of segmentation <= 255; default 1000 */
    tl_head head;
    const int *layers;   /* blocks of each of a ResNet's four stages, for small ones; NULL: the network's own */
    double width;        /* factor on every channel count but those of input and output, rounded, at least 1; default 1 */
    double dropout;      /* in VGG's classifier while training; default 0.5 */
    uint64_t seed;       /* of the random initial values */
    int output_stride;   /* of segmentation: pixels of the image for one of the trunk's last map: 8, 16 or 32. ResNets with
                          * bottlenecks get there by dilation, VGGs by skips. 0: 8; of `lite`: 32 */
    bool no_auxiliary;   /* goes without the auxiliary classifier on layer3 */
} tl_model_options;

TL_API void tl_model_options_init(tl_model_options *options, size_t size);

/* The networks libtl knows, in order; NULL beyond the last. Static. */
TL_API const char *tl_arch_name(size_t index);

/* Makes the network with random values as torchvision initialises it (Kaiming normal, fan out, for convolutions;
 * batch-norms 1 and 0; linear layers as PyTorch's reset_parameters for ResNets, N(0, 0.01) and 0 for VGGs).
 * TL_ERROR_NOT_FOUND: unknown arch (the message names the nearest). TL_ERROR_ARGUMENT. TL_ERROR_MEMORY. */
TL_API tl_status tl_model_create(tl_context *context, const tl_model_options *options, tl_model **out);

/* Opens a file that tl_model_save wrote: architecture, classes, preprocessing and weights in one. The file is
 * mapped and must stay as it is while the model lives. One of tl_model_save_changed is read with its base, for which
 * the same holds. TL_ERROR_FORMAT: no such metadata in it. TL_ERROR_WEIGHTS: tensors missing or misshapen, or another
 * base. TL_ERROR_NOT_FOUND: no such file, or its base is not there. TL_ERROR_LIMIT: more than eight bases.
 * TL_ERROR_IO, TL_ERROR_MEMORY. */
TL_API tl_status tl_model_open(tl_context *context, const char *path, tl_model **out);

TL_API void tl_model_destroy(tl_model *model); /* NULL is fine */

typedef struct tl_weights_options {
    size_t size;
    bool bgr;       /* the file's network wants BGR: swap the input channels of the first convolution */
    bool keep_head; /* a head of another size is an error; otherwise the head then stays as it is (new) */
} tl_weights_options;

/* Loads weights into the model: torchvision names in a .pth (zip or legacy) or .safetensors, or an ONNX file whose
 * convolutions and linears match in graph order. All or nothing: on failure the model is as before. The head
 * (fc, or classifier.6 of VGG) stays new where its shape differs, or where the file lacks it and the head is
 * TL_HEAD_LINEAR. The file stays mapped while the model lives. One of tl_model_save_changed is read with its base.
 * TL_ERROR_WEIGHTS: the message lists the missing, extra and misshapen keys (the first few; all are logged).
 * TL_ERROR_NOT_FOUND, TL_ERROR_LIMIT as tl_model_open. TL_ERROR_IO, TL_ERROR_FORMAT, TL_ERROR_MEMORY. `options` may be
 * NULL. */
TL_API tl_status tl_model_load_weights(tl_model *model, const char *path, const tl_weights_options *options);

/* Writes everything to one .safetensors file with torchvision's names and layouts, whole or not at all; PyTorch
 * loads it. Metadata: "libtl.arch", "libtl.classes" (JSON), "libtl.preprocess" (JSON), "libtl.version", and what
 * else the model needs to be made again. TL_ERROR_IO, TL_ERROR_MEMORY. */
TL_API tl_status tl_model_save(tl_model *model, const char *path);

/* The same in two steps, so that most of the writing is done while the model trains: begin starts a thread of its own that
 * writes what still is as its file or generator gave it, but for those of its parameters (by the index of
 * tl_model_parameter) that `changing` names, whose values at the end count alone; NULL names none. end waits for it,
 * writes everything that is new since then, and gives the file its name; abandon takes away what was written. The file is
 * the one that tl_model_save would write at the time of end. Meanwhile the model may be trained, read and written, but
 * not be destroyed, and tl_model_load_weights is refused.
 * Errors as tl_model_save; what the thread fails with, end returns. Both ways `saving` is gone after end; abandon(NULL)
 * is fine. */
typedef struct tl_saving tl_saving;
TL_API tl_status tl_model_save_begin(tl_model *model, const char *path, const bool *changing, tl_saving **out);
TL_API tl_status tl_model_save_end(tl_saving *saving);
TL_API void tl_model_save_abandon(tl_saving *saving);

/* Writes only what is not as tl_model_load_weights or tl_model_open, whichever was called last, read it from its file,
 * the base: parameters and buffers that were trained or written since, and those that the base does not give, as a new
 * head. Whatever reads a model's file reads the base with it, and tl_model_save of what was read so writes every tensor.
 * The file is an ordinary .safetensors with the metadata of a whole one and "libtl.base", a JSON object: `file`, the
 * base's path from the folder of the file, and `path`, the absolute one; `hash`, of names and contents of the `tensors`
 * tensors that are left to the base, as tl_train_result has it of what is frozen; `bgr`, if it was read so. The base is
 * looked for under `file`, under `path`, and beside the file; another one than it was is an error that says so. It may be
 * of any format, and may be a file of changes itself, up to eight deep.
 * TL_ERROR_ARGUMENT: the model was not read from a file; `path` is its base, or the base's path is not UTF-8.
 * TL_ERROR_NOT_FOUND: the base is not there any more, or was written to. TL_ERROR_LIMIT: too deep. TL_ERROR_IO,
 * TL_ERROR_MEMORY. What fails has written nothing. */
TL_API tl_status tl_model_save_changed(tl_model *model, const char *path);

/* ---- what it is ---- */

TL_API const char *tl_model_arch(const tl_model *model);
TL_API tl_head tl_model_head(const tl_model *model);
TL_API int tl_model_class_count(const tl_model *model);
TL_API const char *tl_model_class(const tl_model *model, int index); /* its name, NULL if it has none */
TL_API tl_status tl_model_set_classes(tl_model *model, const char *const *names, int count); /* count = class_count */
TL_API const tl_preprocess *tl_model_preprocess(const tl_model *model);
TL_API tl_status tl_model_set_preprocess(tl_model *model, const tl_preprocess *preprocess);

typedef struct tl_parameter_info {
    size_t size;
    const char *name; /* torchvision's, "layer4.0.conv1.weight" */
    int rank;
    int64_t shape[4]; /* torchvision's: OIHW for convolutions */
    int64_t count;    /* elements */
    bool buffer;      /* running mean or variance: moves with the batch's statistics, never with a gradient */
} tl_parameter_info;

TL_API size_t tl_model_parameter_count(const tl_model *model); /* parameters and buffers, in torchvision's order */
TL_API tl_status tl_model_parameter(const tl_model *model, size_t index, tl_parameter_info *info); /* size set by the caller */

/* All elements in torchvision's order, as f32, into out[count] or from values[count]. TL_ERROR_NOT_FOUND,
 * TL_ERROR_IO, TL_ERROR_MEMORY. */
TL_API tl_status tl_model_read(tl_model *model, const char *name, float *out);
TL_API tl_status tl_model_write(tl_model *model, const char *name, const float *values);

/* ---- forward ---- */

typedef struct tl_predictor tl_predictor;

/* Readies the model for inference on a device: `height` x `width` pixels, up to `batch` images at once. The
 * predictor holds what it needs of the weights; the model must outlive it and must not train meanwhile.
 * TL_ERROR_SHAPE: the network does not admit the size. TL_ERROR_MEMORY, TL_ERROR_DEVICE, TL_UNSUPPORTED. */
TL_API tl_status tl_predictor_create(tl_model *model, tl_device *device, int batch, int height, int width, tl_predictor **out);
TL_API void tl_predictor_destroy(tl_predictor *predictor);

/* Logits of `count` (1 .. batch) images of height * width * 3 bytes: out[count * classes]. Each image's result
 * does not depend on the others with it. The bytes are normalised with the model's mean and std.
 * TL_ERROR_ARGUMENT, TL_ERROR_DEVICE, TL_ERROR_MEMORY. */
TL_API tl_status tl_predictor_run(tl_predictor *predictor, const uint8_t *rgb, int count, float *logits);

/* softmax in place over each of `rows` rows of `columns`. */
TL_API void tl_softmax(float *values, size_t rows, size_t columns);

#ifdef __cplusplus
}
#endif
#endif

/* finetune FOLDER WEIGHTS OUT.safetensors: the whole job from C. FOLDER holds one folder of images for each class,
 * WEIGHTS is torchvision's resnet50-0676ba61.pth, say. Build it with the Makefile beside it. */
#include <stdio.h>
#include <tl/tl.h>

static tl_status on_epoch(void *user, const tl_epoch *epoch, tl_model *model)
{
    (void)user;
    (void)model; /* holds what was learned so far: save it where epoch->best, for instance */
    printf("Epoch %d, Loss: %.4f   val accuracy %.3f\n", epoch->epoch, epoch->train.loss, epoch->val.accuracy);
    return TL_OK;
}

int main(int argc, char **argv)
{
    tl_context *context = NULL;
    tl_device *device = NULL;
    tl_dataset *all = NULL, *train = NULL, *val = NULL;
    tl_model *model = NULL;
    tl_model_options network;
    tl_train_options options;
    tl_stage head;
    tl_status status;

    if (argc != 4) {
        fprintf(stderr, "usage: finetune FOLDER WEIGHTS OUT.safetensors\n");
        return 2;
    }
    tl_model_options_init(&network, sizeof(network));
    network.arch = "resnet50";
    tl_stage_init(&head, sizeof(head)); /* the network's head, 10 epochs of Adam at 1e-3 */
    tl_train_options_init(&options, sizeof(options));
    options.stages = &head;
    options.stage_count = 1;
    options.on_epoch = on_epoch;

    status = tl_context_create(NULL, &context);
    if (!status) status = tl_device_open(context, "auto", NULL, &device);
    if (!status) status = tl_dataset_open(context, argv[1], &all);
    if (!status) status = tl_dataset_split(context, all, 0.25, 0, &train, &val);
    if (!status) network.classes = (int)tl_dataset_class_count(all);
    if (!status) status = tl_model_create(context, &network, &model);
    if (!status) status = tl_model_load_weights(model, argv[2], NULL);
    if (!status) status = tl_train(model, device, train, val, &options, NULL);
    if (!status) status = tl_model_save(model, argv[3]);
    if (status) fprintf(stderr, "finetune: %s\n", tl_context_message(context));

    tl_model_destroy(model);
    tl_dataset_destroy(val);
    tl_dataset_destroy(train);
    tl_dataset_destroy(all);
    tl_device_close(device);
    tl_context_destroy(context);
    return status ? 1 : 0;
}

"""Headers of AscendC that are a part of what kernel_operator.h or lib/matmul_intf.h has here."""

_OPERATOR = {
    "activation": "geglu gelu logsoftmax reglu sigmoid silu simplesoftmax softmax softmaxflash softmaxflashv2 softmaxflashv3 softmaxgrad swiglu swish",
    "broadcast": "broadcast",
    "filter": "dropout select selectwithbytesmask",
    "index": "arange arithprogression",
    "math": "acos acosh asin asinh atan atanh axpy ceil clamp cos cosh cumsum digamma erf erfc exp floor fmod frac lgamma log power round sign " +
            "sin sinh tan tanh trunc xor",
    "normalization": "batchnorm deepnorm groupnorm layernorm layernormgrad layernormgradbeta normalize rmsnorm welfordfinalize welfordupdate",
    "pad": "broadcast pad",
    "quantization": "ascend_antiquant ascend_dequant ascend_quant",
    "reduce": "mean reduce sum",
    "select": "selectwithbytesmask",
    "sort": "sort topk",
    "transpose": "confusion_transpose transpose",
    "utils": "init_global_memory",
}

# long name -> the header that it includes
LONG_NAMES = {
    "{}/{}/{}.h".format(root, group, name): "kernel_operator.h"
    for root in ["adv_api", "lib"]
    for group, names in _OPERATOR.items()
    for name in names.split(" ")
} | {
    "{}/{}.h".format(folder, name): "lib/matmul_intf.h"
    for folder in ["adv_api/matmul", "lib/matmul"]
    for name in ["matmul", "matmul_intf"]
} | {
    "{}/{}.h".format(folder, name): "kernel_tiling/kernel_tiling.h"
    for folder in ["adv_api/matmul", "lib/matmul", "lib/matrix/matmul"]
    for name in ["bmm_tiling", "tiling"]
    if (folder, name) != ("lib/matrix/matmul", "tiling")
} | {
    "utils/std/{}.h".format(name): "kernel_operator.h"
    for name in ["algorithm", "tuple", "type_traits", "utility"]
} | {
    # Parts of CANN's own headers, looked for behind all other folders: a kernel may have files of these names.
    "parts/{}.h".format(name): "kernel_operator.h"
    for name in [
        "impl/dav_c220/kernel_operator_reg_others_impl",
        "kernel_common",
        "kernel_event",
        "kernel_log",
        "kernel_macros",
        "kernel_struct_data_copy",
        "kernel_tensor",
        "kernel_tpipe",
        "kernel_type",
        "kernel_utils",
    ]
} | {
    "adv_api/kernel_tiling.h": "kernel_tiling/kernel_tiling.h",
    "adv_api/matmul_intf.h": "lib/matmul_intf.h",
    "basic_api/kernel_basic_intf.h": "kernel_operator.h",
    "kernel_cube_intf.h": "kernel_operator.h",
    "kernel_vec_intf.h": "kernel_operator.h",
    "lib/matmul_api.h": "lib/matmul_intf.h",
    "matmul_intf.h": "lib/matmul_intf.h",
    "utils/debug/asc_assert.h": "kernel_operator.h",
}

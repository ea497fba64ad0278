// The generals plugin as a table, for programs that link plugin_generals_static.
#pragma once

#include "plugins/sdk/pbft/plugin.h"

extern "C" const pbft_plugin_v1* pbft_generals_plugin();

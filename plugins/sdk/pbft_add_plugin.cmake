# pbft_add_plugin(NAME source...): the target plugin_NAME, which builds the plugin NAME.so with pbft_plugin as its only
# exported symbol.
function(pbft_add_plugin name)
  add_library(plugin_${name} MODULE ${ARGN})
  target_link_libraries(plugin_${name} PRIVATE pbft::plugin)
  set_target_properties(plugin_${name} PROPERTIES OUTPUT_NAME ${name} PREFIX "" SUFFIX ".so"
                        CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
endfunction()

// synod start: one replica, in the foreground, until SIGINT or SIGTERM.
#include "cli/command.h"
#include "replica/process.h"
#include "replica/stop.h"

namespace synod::cli {

void add_start(CLI::App& app, Body& body) {
  auto path = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("start", "Run one replica");
  command->add_option("--config", *path, "its configuration (TOML)")->required();
  command->callback([path, &body] {
    body = [path] {
      const auto config = replica::load_config(*path);
      if (!config) return failed(config.error().text);
      replica::stop_on_signals();
      const auto ran = replica::run_process(*config);
      return ran ? exit_done : failed(ran.error().text);
    };
  });
}

}  // namespace synod::cli

//! The state of a running script.

use super::{Context, Failure, Outcome, Setup, refuse, scribble, spectest, values};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Scope, ScopedJoinHandle};
use wasmc_loader::{
    Engine, IncompatibleError, Instance, Linker, Module, SharedMemory, Store, ThrownException, UpdateDeadline, Val,
};
use wast::token::{Id, Span};
use wast::{QuoteWat, WastDirective, WastExecute, WastInvoke, WastThread, Wat};

/// Why a module or call did not come to its end.
enum Stop {
    /// The module was refused, or something that the script names is missing.
    Refused(String),
    /// The loader, or the code, stopped.
    Failed(wasmc_loader::Error),
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stop::Refused(message) => f.write_str(message),
            Stop::Failed(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<wasmc_loader::Error> for Stop {
    fn from(error: wasmc_loader::Error) -> Stop {
        Stop::Failed(error)
    }
}

/// The shared memories that an instance exports.
type SharedExports = Vec<(String, SharedMemory)>;

/// A script's store, instances and modules; or those of one of its threads.
struct Session<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    context: &'env Context<'env>,
    setup: &'env Setup,
    engine: Engine,
    store: Store<()>,
    linker: Linker<()>,
    current: Option<Instance>,
    instances: HashMap<String, Instance>,
    definition: Option<Module>,
    definitions: HashMap<String, Module>,
    /// What other threads share with this one, by the names of their instances.
    shared: HashMap<String, SharedExports>,
    threads: HashMap<String, ScopedJoinHandle<'scope, Outcome>>,
    unsupported: refuse::Unsupported,
}

/// Runs all directives and adds what became of them to `outcome`.
pub(super) fn run<'env>(
    context: &'env Context<'env>,
    setup: &'env Setup,
    directives: Vec<WastDirective<'env>>,
    outcome: &mut Outcome,
) {
    std::thread::scope(|scope| run_thread(scope, context, setup, HashMap::new(), directives, outcome));
}

/// Runs the directives of the script, or of one of its threads.
fn run_thread<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    context: &'env Context<'env>,
    setup: &'env Setup,
    shared: HashMap<String, SharedExports>,
    directives: Vec<WastDirective<'env>>,
    outcome: &mut Outcome,
) {
    match Session::new(scope, context, setup) {
        Ok(mut session) => {
            session.shared = shared;
            session.run(directives, outcome);
        }
        Err(error) => {
            let message = format!("cannot prepare what scripts use: {error:#}");
            outcome.failures.push(Failure { line: 1, directive: "script", message });
        }
    }
}

impl<'scope, 'env> Session<'scope, 'env> {
    fn new(
        scope: &'scope Scope<'scope, 'env>,
        context: &'env Context<'env>,
        setup: &'env Setup,
    ) -> Result<Self, wasmc_loader::Error> {
        let engine = setup.engine.clone();
        let mut session = Session {
            scope,
            context,
            setup,
            store: Store::new(&engine, ()),
            linker: Linker::new(&engine),
            engine,
            current: None,
            instances: HashMap::new(),
            definition: None,
            definitions: HashMap::new(),
            shared: HashMap::new(),
            threads: HashMap::new(),
            unsupported: refuse::Unsupported::new(),
        };
        if setup.interrupt {
            session.store.set_epoch_deadline(0);
            session.store.epoch_deadline_callback(|mut store| {
                store.gc();
                Ok(UpdateDeadline::Continue(0))
            });
        }
        session.linker.allow_shadowing(true);
        spectest::define(&mut session.linker, &mut session.store)?;
        Ok(session)
    }

    fn run(&mut self, directives: Vec<WastDirective<'env>>, outcome: &mut Outcome) {
        for directive in directives {
            let (span, name) = (directive.span(), keyword(&directive));
            // A panic is a failure like others; later directives still run.
            let done = catch_unwind(AssertUnwindSafe(|| self.directive(directive, outcome)));
            let done = done.unwrap_or_else(|panic| {
                let message = panic.downcast_ref::<String>().map(String::as_str);
                let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
                Err(format!("panicked: {}", message.unwrap_or("with a value that is no text")))
            });
            match done {
                Ok(()) if name.starts_with("assert_") => outcome.passed += 1,
                Ok(()) => {}
                Err(message) => {
                    outcome.failures.push(Failure { line: self.line(span), directive: name, message });
                }
            }
        }
        outcome.unsupported.append(&mut self.unsupported);
        // What nobody waits for counts as well.
        for (_, thread) in self.threads.drain() {
            join(thread, outcome);
        }
    }

    fn line(&self, span: Span) -> usize {
        span.linecol_in(self.context.script).0 + 1
    }

    fn directive(&mut self, directive: WastDirective<'env>, outcome: &mut Outcome) -> Result<(), String> {
        match directive {
            WastDirective::Module(mut module) => self.module(&mut module),
            WastDirective::ModuleDefinition(mut module) => {
                let name = module.name();
                match self.load(&encode(&mut module)?) {
                    Ok(loaded) => self.define(name, Some(loaded)),
                    // It is valid, and no machine has the memory for an instance.
                    Err(Stop::Failed(error)) if is_too_large(&error) => self.define(name, None),
                    Err(stop) => return Err(stop.to_string()),
                }
                Ok(())
            }
            WastDirective::ModuleInstance { instance, module, .. } => self.instance_of(instance, module),
            WastDirective::Register { name, module, .. } => self.register(name, module),
            WastDirective::Invoke(invoke) => self.invoke(&invoke).map(drop).map_err(|stop| stop.to_string()),
            WastDirective::AssertReturn { exec, results, .. } => {
                let found = self.execute(exec).map_err(|stop| stop.to_string())?;
                values::check_results(&self.store, &found, &results)
            }
            WastDirective::AssertTrap { exec, message, .. } => self.assert_trap(exec, message),
            WastDirective::AssertExhaustion { call, message, .. } => {
                self.assert_trap(WastExecute::Invoke(call), message)
            }
            WastDirective::AssertMalformed { mut module, message, .. }
            | WastDirective::AssertMalformedCustom { mut module, message, .. }
            | WastDirective::AssertInvalid { mut module, message, .. }
            | WastDirective::AssertInvalidCustom { mut module, message, .. } => {
                refuse::refused(self.context, &mut module, message)
            }
            WastDirective::AssertUnlinkable { module, message, .. } => self.assert_unlinkable(module, message),
            WastDirective::AssertException { exec, .. } => self.assert_exception(exec),
            WastDirective::AssertSuspension { .. } => Err("stack switching is not supported".to_owned()),
            WastDirective::Thread(thread) => self.thread(thread),
            WastDirective::Wait { thread, .. } => self.wait(thread, outcome),
        }
    }

    fn module(&mut self, module: &mut QuoteWat<'_>) -> Result<(), String> {
        // A module that fails is nobody's: what follows must not run on the
        // one before.
        self.current = None;
        let name = module.name();
        let wasm = encode(module)?;
        let loaded = self.load(&wasm).map_err(|stop| stop.to_string())?;
        self.define(name, Some(loaded.clone()));
        let instance = self.instantiate(&loaded).map_err(|stop| stop.to_string())?;
        self.enter(name, instance);
        Ok(())
    }

    fn define(&mut self, name: Option<Id<'_>>, module: Option<Module>) {
        if let Some(name) = name {
            self.definitions.remove(name.name());
            self.definitions.extend(module.clone().map(|module| (name.name().to_owned(), module)));
        }
        self.definition = module;
    }

    fn enter(&mut self, name: Option<Id<'_>>, instance: Instance) {
        if let Some(name) = name {
            self.instances.insert(name.name().to_owned(), instance);
        }
        self.current = Some(instance);
    }

    fn instance_of(&mut self, instance: Option<Id<'_>>, module: Option<Id<'_>>) -> Result<(), String> {
        self.current = None;
        let found = match module {
            Some(name) => self.definitions.get(name.name()),
            None => self.definition.as_ref(),
        };
        let module = found.cloned().ok_or_else(|| missing("module definition", module))?;
        let made = self.instantiate(&module).map_err(|stop| stop.to_string())?;
        self.enter(instance, made);
        Ok(())
    }

    fn register(&mut self, name: &str, module: Option<Id<'_>>) -> Result<(), String> {
        let shared = module.filter(|id| !self.instances.contains_key(id.name()));
        if let Some(exports) = shared.and_then(|id| self.shared.get(id.name())) {
            for (export, memory) in exports {
                let defined = self.linker.define(&self.store, name, export, memory.clone());
                defined.map_err(|error| error.to_string())?;
            }
            return Ok(());
        }
        let instance = self.instance(module)?;
        self.linker.instance(&mut self.store, name, instance).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn instance(&self, name: Option<Id<'_>>) -> Result<Instance, String> {
        let found = match name {
            Some(name) => self.instances.get(name.name()).copied(),
            None => self.current,
        };
        found.ok_or_else(|| missing("instance", name))
    }

    /// Compiles and loads.
    fn load(&mut self, wasm: &[u8]) -> Result<Module, Stop> {
        match &*self.context.compile(wasm) {
            Ok(compiled) => Ok((self.context.runner.load)(&self.engine, compiled)?),
            Err(error) => {
                refuse::note(&mut self.unsupported, error);
                Err(Stop::Refused(error.to_string()))
            }
        }
    }

    fn instantiate(&mut self, module: &Module) -> Result<Instance, Stop> {
        let instance = self.linker.instantiate(&mut self.store, module)?;
        if self.setup.reset {
            scribble::scribble(&mut self.store, module, instance)?;
            instance.reset(&mut self.store)?;
        }
        Ok(instance)
    }

    fn instantiate_text(&mut self, module: &mut Wat<'_>) -> Result<Instance, Stop> {
        let wasm = module.encode().map_err(|error| Stop::Refused(error.message()))?;
        let module = self.load(&wasm)?;
        self.instantiate(&module)
    }

    fn execute(&mut self, exec: WastExecute<'_>) -> Result<Vec<Val>, Stop> {
        match exec {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Wat(mut module) => self.instantiate_text(&mut module).map(|_| Vec::new()),
            WastExecute::Get { module, global, .. } => {
                let instance = self.instance(module).map_err(Stop::Refused)?;
                let found = instance.get_global(&mut self.store, global);
                let found = found.ok_or_else(|| Stop::Refused(format!("no global is exported as \"{global}\"")))?;
                Ok(vec![found.get(&mut self.store)])
            }
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Vec<Val>, Stop> {
        let instance = self.instance(invoke.module).map_err(Stop::Refused)?;
        let function = instance.get_func(&mut self.store, invoke.name);
        let function =
            function.ok_or_else(|| Stop::Refused(format!("no function is exported as \"{}\"", invoke.name)))?;
        let mut arguments = Vec::with_capacity(invoke.args.len());
        for argument in &invoke.args {
            arguments.push(values::argument(&mut self.store, argument).map_err(Stop::Refused)?);
        }
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        function.call(&mut self.store, &arguments, &mut results)?;
        Ok(results)
    }

    fn assert_trap(&mut self, exec: WastExecute<'_>, message: &str) -> Result<(), String> {
        match self.execute(exec) {
            Ok(found) => Err(format!("expected the trap \"{message}\", but it returned {found:?}")),
            Err(Stop::Failed(error)) => refuse::trapped(&error, message),
            Err(Stop::Refused(why)) => Err(why),
        }
    }

    fn assert_exception(&mut self, exec: WastExecute<'_>) -> Result<(), String> {
        match self.execute(exec) {
            Ok(found) => Err(format!("expected an exception, but it returned {found:?}")),
            Err(Stop::Failed(error)) if error.is::<ThrownException>() => Ok(()),
            Err(stop) => Err(format!("expected an exception, got: {stop}")),
        }
    }

    fn assert_unlinkable(&mut self, mut module: Wat<'_>, message: &str) -> Result<(), String> {
        let wasm = module.encode().map_err(|error| error.message())?;
        let module = self.load(&wasm).map_err(|stop| format!("the module is refused before linking: {stop}"))?;
        match self.instantiate(&module) {
            Ok(_) => Err(format!("expected \"{message}\", but the module links")),
            Err(Stop::Failed(error)) => refuse::unlinkable(&error, message),
            Err(Stop::Refused(why)) => Err(why),
        }
    }

    /// Starts a thread, which has a store of its own and can register an
    /// instance of this one, as far as that exports shared memories.
    fn thread(&mut self, thread: WastThread<'env>) -> Result<(), String> {
        let mut shared = HashMap::new();
        if let Some(id) = thread.shared_module {
            let exports = match (self.instances.get(id.name()), self.shared.get(id.name())) {
                (Some(instance), _) => shared_exports(*instance, &mut self.store),
                (None, Some(exports)) => exports.clone(),
                (None, None) => return Err(missing("instance", Some(id))),
            };
            if exports.is_empty() {
                return Err(format!("${} cannot be shared with a thread: it exports no shared memory", id.name()));
            }
            shared.insert(id.name().to_owned(), exports);
        }
        let (scope, context, setup, directives) = (self.scope, self.context, self.setup, thread.directives);
        let run = move || {
            let mut outcome = Outcome::default();
            run_thread(scope, context, setup, shared, directives, &mut outcome);
            outcome
        };
        let started = std::thread::Builder::new().spawn_scoped(scope, run).map_err(|error| error.to_string())?;
        match self.threads.insert(thread.name.name().to_owned(), started) {
            None => Ok(()),
            Some(_) => Err(format!("there is a thread called ${} already", thread.name.name())),
        }
    }

    fn wait(&mut self, thread: Id<'_>, outcome: &mut Outcome) -> Result<(), String> {
        let started = self.threads.remove(thread.name()).ok_or_else(|| missing("thread", Some(thread)))?;
        join(started, outcome);
        Ok(())
    }
}

/// Waits for a thread, and adds what became of its directives.
fn join(thread: ScopedJoinHandle<'_, Outcome>, outcome: &mut Outcome) {
    match thread.join() {
        Ok(done) => {
            outcome.passed += done.passed;
            outcome.failures.extend(done.failures);
            outcome.unsupported.extend(done.unsupported);
        }
        Err(_) => {
            let message = "the thread panicked".to_owned();
            outcome.failures.push(Failure { line: 1, directive: "thread", message });
        }
    }
}

fn shared_exports(instance: Instance, store: &mut Store<()>) -> SharedExports {
    let exports = instance.exports(store);
    exports
        .filter_map(|export| {
            let name = export.name().to_owned();
            Some((name, export.into_shared_memory()?))
        })
        .collect()
}

fn encode(module: &mut QuoteWat<'_>) -> Result<Vec<u8>, String> {
    module.encode().map_err(|error| error.message())
}

fn missing(what: &str, name: Option<Id<'_>>) -> String {
    match name {
        Some(name) => format!("there is no {what} called ${}", name.name()),
        None => format!("there is no {what}"),
    }
}

/// Whether a module was refused since its memory cannot be addressed.
fn is_too_large(error: &wasmc_loader::Error) -> bool {
    matches!(error.downcast_ref(), Some(IncompatibleError::AddressSpace))
}

fn keyword(directive: &WastDirective<'_>) -> &'static str {
    match directive {
        WastDirective::Module(_) => "module",
        WastDirective::ModuleDefinition(_) => "module definition",
        WastDirective::ModuleInstance { .. } => "module instance",
        WastDirective::AssertMalformed { .. } => "assert_malformed",
        WastDirective::AssertMalformedCustom { .. } => "assert_malformed_custom",
        WastDirective::AssertInvalid { .. } => "assert_invalid",
        WastDirective::AssertInvalidCustom { .. } => "assert_invalid_custom",
        WastDirective::Register { .. } => "register",
        WastDirective::Invoke(_) => "invoke",
        WastDirective::AssertTrap { .. } => "assert_trap",
        WastDirective::AssertReturn { .. } => "assert_return",
        WastDirective::AssertExhaustion { .. } => "assert_exhaustion",
        WastDirective::AssertUnlinkable { .. } => "assert_unlinkable",
        WastDirective::AssertException { .. } => "assert_exception",
        WastDirective::AssertSuspension { .. } => "assert_suspension",
        WastDirective::Thread(_) => "thread",
        WastDirective::Wait { .. } => "wait",
    }
}

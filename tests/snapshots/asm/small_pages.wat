(module
  (memory $bytes 100 (pagesize 1))
  (memory $fixed 4096 4096 (pagesize 1))
  (memory $wide i64 100 (pagesize 1))
  (func (export "load") (param $p i32) (result i32) (i32.load offset=8 (local.get $p)))
  (func (export "load fixed") (param $p i32) (result i32) (i32.load $fixed offset=8 (local.get $p)))
  (func (export "load wide") (param $p i64) (result i32) (i32.load $wide offset=8 (local.get $p)))
  (func (export "load far") (param $p i64) (result i32) (i32.load $wide offset=1000 (local.get $p)))
  (func (export "size") (result i32) (memory.size)))

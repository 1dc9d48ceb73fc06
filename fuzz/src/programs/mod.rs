use crate::features::Features;
pub fn generate(_bytes: &[u8], _features: Features) -> Vec<u8> { b"\0asm\x01\0\0\0".to_vec() }
